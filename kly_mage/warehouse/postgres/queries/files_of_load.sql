-- The files that a load has looked at, and those it has left out, with the reason.
select
    file.value ->> 'file' as file,
    (file.value ->> 'size')::bigint as size,
    (file.value ->> 'modified_at')::timestamptz as modified_at,
    '' as left_out
from ops.loads as load
cross join lateral jsonb_array_elements(load.files) as file (value)
where load.load_id = :load
union all
select
    reason.key as file,
    null as size,
    null as modified_at,
    reason.value as left_out
from ops.loads as load
cross join lateral jsonb_each_text(load.left_out) as reason (key, value)
where load.load_id = :load
order by left_out desc, file asc
