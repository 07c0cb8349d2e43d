-- By how many days after their own day rows were first delivered, as the last reconcile has found.
select
    checked.source,
    late.days::int as days_late,
    sum(late.rows::bigint)::bigint as rows
from ops.file_checks as checked
cross join lateral jsonb_each_text(checked.rows_late) as late (days, rows)
where checked.day between :start and :end
group by checked.source, late.days::int
order by checked.source, days_late
