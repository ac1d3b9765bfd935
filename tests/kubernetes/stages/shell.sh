# counts the rows of each kind, with the programs that people expect of a shell
jq -r '.[] | [.kind, .value] | @tsv' "$KHAN_INPUT_rows" | gawk '{ sum[$1] += $2 } END { for (k in sum) print k, sum[k] }' |
  sort > "$KHAN_OUTPUT_out"
zstd -q < "$KHAN_OUTPUT_out" | zstd -dqc | cmp - "$KHAN_OUTPUT_out"
echo "result $(tr '\n' ' ' < "$KHAN_OUTPUT_out")"
for name in bash curl gawk jq sqlite3 zstd; do
  echo "holds $name $(dpkg-query -W -f '${source:Upstream-Version}' "$name")"
done
curl --version > /dev/null
