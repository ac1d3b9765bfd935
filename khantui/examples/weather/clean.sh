# Days with a value in every column, sorted by city and date.
set -eu
head -1 weather.csv > "$KHAN_OUTPUT_days"
tail -n +2 weather.csv | grep -v -e ',,' -e ',$' | sort -t, -k1,2 >> "$KHAN_OUTPUT_days"
echo "kept $(($(wc -l < "$KHAN_OUTPUT_days") - 1)) of $(($(wc -l < weather.csv) - 1)) days"
