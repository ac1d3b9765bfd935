# A source that answers at the third attempt.
set -eu
if [ "$ATTEMPT" -lt 3 ]; then
  echo "ERROR: attempt $ATTEMPT: 503, the month is not published yet" >&2
  exit 75
fi
# date,CO2,adjusted -> year and its part, CO2
tail -n +2 co2-concentration.csv | awk -F'[-,]' '{printf "%.4f,%s\n", $1 + ($2 - 0.5) / 12, $4}' > "$KHAN_OUTPUT_series"
echo "attempt $ATTEMPT: $(wc -l < "$KHAN_OUTPUT_series") months"
