-- The files that hold rows of some days, as loads have read them.
select
    file_day.source,
    file_day.file,
    file_day.day,
    file_day.rows,
    file_day.money,
    file_day.load_id,
    file.size,
    file.modified_at,
    count(*) over () as lines
from ops.file_days as file_day
left join ops.files as file
    on file_day.source = file.source and file_day.file = file.file
where file_day.day between :start and :end
order by file_day.source asc, file_day.day desc, file_day.file asc
limit :limit
