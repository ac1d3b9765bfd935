CREATE TABLE comparison AS
PIVOT (SELECT city, month, rain FROM read_csv(getenv('KHAN_INPUT_months'), header = true))
ON city USING first(rain) GROUP BY month ORDER BY month;

COPY comparison TO (getenv('KHAN_OUTPUT_comparison')) (FORMAT csv, HEADER);
SELECT *, CASE WHEN Seattle > "New York" THEN 'Seattle' ELSE 'New York' END AS wetter FROM comparison;
