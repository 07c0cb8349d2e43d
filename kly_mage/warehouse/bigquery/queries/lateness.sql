-- By how many days after their own day rows were first delivered, as the last reconcile has found.
with late as (
    select
        checked.source,
        cast(regexp_extract(entry, '^"(-?[0-9]+)"') as int64) as days_late,
        cast(regexp_extract(entry, '[0-9]+$') as int64) as amount
    from ops.file_checks as checked
    cross join unnest(regexp_extract_all(checked.rows_late, '"-?[0-9]+": ?[0-9]+')) as entry
    where checked.day between @start and @end
)

select
    late.source,
    late.days_late,
    sum(late.amount) as `rows`
from late
group by late.source, late.days_late
order by late.source, late.days_late
