.mode csv
.import sales.csv sales
.headers on
SELECT region, COUNT(*) AS sales, SUM(CAST(amount AS REAL)) AS total
FROM sales
GROUP BY region
ORDER BY total DESC;
