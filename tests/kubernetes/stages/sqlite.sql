create table rows as select json_extract(value, '$.kind') as kind, json_extract(value, '$.value') as value
  from json_each(readfile('/khan/in/rows'));
select writefile('/khan/out/out', group_concat(kind || ' ' || total, ' ')) > 0
  from (select kind, sum(value) as total from rows group by kind order by kind);
select 'result ' || readfile('/khan/out/out');
select 'holds sqlite3 ' || sqlite_version();
