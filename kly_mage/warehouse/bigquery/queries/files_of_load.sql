-- The files that a load has read, and those it was the first to leave out, with the reason.
select
    read_file.file,
    read_file.size,
    read_file.modified_at,
    '' as left_out
from ops.load_files as read_file
where read_file.load_id = @load
union all
select
    reject.file,
    cast(null as int64) as size,
    cast(null as timestamp) as modified_at,
    reject.reason as left_out
from bronze.rejects as reject
where reject.load_id = @load and reject.line = 0
order by left_out desc, file asc
