-- A reject without a readable day goes with the day in its file's name, which is kept beside it: the name was read by a second
-- rule here, and one that held eight digits and no day stopped every reconciliation. Such a name holds none.

alter table bronze.rejects add column file_day date;

update bronze.rejects
set file_day = calendar.day
from (
    select generate_series(date '1970-01-01', date '2099-12-31', interval '1 day')::date as day
) as calendar
where
    to_char(calendar.day, 'YYYYMMDD')
    = substring(split_part(rejects.file, '/', -1) from '^' || rejects.source || '_([0-9]{8})');
