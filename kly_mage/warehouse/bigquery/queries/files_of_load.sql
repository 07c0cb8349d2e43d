-- The files that a load has read, and those it has left out, with the reason.
with reasons as (
    select reason
    from ops.loads as loaded
    cross join unnest(regexp_extract_all(loaded.left_out, r'"(?:[^"\\]|\\.)*": "(?:[^"\\]|\\.)*"')) as reason
    where loaded.load_id = @load
)

select
    read_file.file,
    read_file.size,
    read_file.modified_at,
    '' as left_out
from ops.load_files as read_file
where read_file.load_id = @load
union all
select
    json_value(regexp_extract(reasons.reason, r'^"(?:[^"\\]|\\.)*"')) as file,
    cast(null as int64) as size,
    cast(null as timestamp) as modified_at,
    json_value(regexp_extract(reasons.reason, r'"(?:[^"\\]|\\.)*"$')) as left_out
from reasons
order by left_out desc, file asc
