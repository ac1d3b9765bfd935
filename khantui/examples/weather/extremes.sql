CREATE TABLE extremes AS
SELECT location AS city,
       max(temp_max) AS hottest,
       arg_max(date, temp_max) AS hottest_day,
       min(temp_min) AS coldest,
       arg_min(date, temp_min) AS coldest_day,
       max(precipitation) AS wettest,
       arg_max(date, precipitation) AS wettest_day
FROM read_csv(getenv('KHAN_INPUT_days'), header = true)
GROUP BY ALL
ORDER BY ALL;

COPY extremes TO (getenv('KHAN_OUTPUT_extremes')) (FORMAT csv, HEADER);
FROM extremes;
