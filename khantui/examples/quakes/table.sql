-- `each` gives a folder: one entry for each hour
CREATE TABLE hours AS
SELECT hour, events, strong, strongest, bar(events, 0, max(events) OVER (), 40) AS chart
FROM read_csv(getenv('KHAN_INPUT_hours') || '/*', header = false,
              columns = {'hour': 'VARCHAR', 'events': 'INTEGER', 'strong': 'INTEGER', 'strongest': 'DOUBLE'})
ORDER BY hour;

COPY (SELECT * EXCLUDE chart FROM hours) TO (getenv('KHAN_OUTPUT_table')) (FORMAT csv, HEADER);
.maxrows 30
FROM hours;
