-- The files that hold rows of some days, as loads have read them: of each file and day what was noted last.
with held as (
    select
        file_day.source,
        file_day.file,
        file_day.day,
        file_day.rows_held,
        file_day.money,
        file_day.load_id
    from ops.file_days as file_day
    where file_day.day between @start and @end
    qualify row_number() over (
        partition by file_day.source, file_day.file, file_day.day
        order by file_day.noted_by desc
    ) = 1
),

files as (
    select
        read_file.source,
        read_file.file,
        read_file.size,
        read_file.modified_at
    from ops.load_files as read_file
    where true
    qualify row_number() over (partition by read_file.source, read_file.file order by read_file.load_id desc) = 1
)

select
    held.source,
    held.file,
    held.day,
    held.rows_held as `rows`,
    held.money,
    held.load_id,
    files.size,
    files.modified_at,
    count(*) over () as lines
from held
left join files
    on held.source = files.source and held.file = files.file
order by held.source asc, held.day desc, held.file asc
limit @limit
