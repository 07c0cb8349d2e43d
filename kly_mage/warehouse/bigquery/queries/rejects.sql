-- Rows that cannot be used and wait: of some days, and those whose day cannot be read.
select
    reject.day,
    reject.source,
    reject.file,
    reject.line,
    reject.column_name,
    reject.value,
    reject.reason,
    reject.load_id,
    count(*) over () as rejects
from bronze.rejects as reject
where
    reject.resolved_at is null
    and reject.accepted_at is null
    and (reject.day between @start and @end or reject.day is null)
order by reject.source, reject.file, reject.line
limit @limit
