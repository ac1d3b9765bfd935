copy (select kind, sum(value)::int as value from read_json(getenv('KHAN_INPUT_rows')) group by kind order by kind)
  to '/khan/out/out' (format parquet);
.mode list
.headers off
select 'result ' || string_agg(kind || ' ' || value, ' ') from read_parquet('/khan/out/out');
select 'holds duckdb ' || version();
