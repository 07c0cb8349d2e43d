-- The files that hold rows of a day, as loads have read them.
select
    file_day.source,
    file_day.file,
    file_day.rows,
    file_day.money,
    file_day.load_id,
    file.size,
    file.modified_at
from ops.file_days as file_day
left join ops.files as file
    on file_day.source = file.source and file_day.file = file.file
where file_day.day = :day
order by file_day.source, file_day.file
