CREATE TABLE months AS
SELECT location AS city,
       month(date) AS month,
       round(avg(temp_max), 1) AS warmest,
       round(avg(temp_min), 1) AS coldest,
       round(sum(precipitation) / count(DISTINCT year(date)), 1) AS rain,
       round(count(*) FILTER (precipitation > getenv('WET')::DOUBLE) / count(DISTINCT year(date)), 1) AS wet_days
FROM read_csv(getenv('KHAN_INPUT_days'), header = true)
GROUP BY ALL
ORDER BY ALL;

COPY months TO (getenv('KHAN_OUTPUT_months')) (FORMAT csv, HEADER);
FROM months;
