CREATE TABLE totals AS
SELECT region, count(*) AS sales, sum(amount) AS total
FROM read_csv('sales.csv', header = true)
GROUP BY region
ORDER BY total DESC;

COPY totals TO (getenv('KHAN_OUTPUT_totals')) (FORMAT csv, HEADER);
FROM totals;
