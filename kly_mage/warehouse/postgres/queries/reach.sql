-- The first and the last day in gold: two looks at the key.
select
    (select min(summary.date) from gold.daily_summary as summary) as first_day,
    (select max(summary.date) from gold.daily_summary as summary) as last_day
