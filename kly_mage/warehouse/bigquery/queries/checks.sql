-- What the last reconcile has found of some days, when it read the files again; days that need a look first.
select
    checked.source,
    checked.day,
    checked.rows_in_files,
    checked.rows_not_loaded,
    checked.rows_lost,
    checked.rows_changed,
    checked.rows_in_no_file,
    checked.rows_outside,
    checked.revenue_in_files,
    checked.revenue_missing,
    checked.checked_at,
    checked.rows_not_loaded + checked.rows_lost + checked.rows_changed
    + checked.rows_in_no_file + checked.rows_outside as rows_to_look_at
from ops.file_checks as checked
where checked.day between @start and @end or checked.day is null
order by rows_to_look_at desc, checked.source asc, checked.day asc nulls last
