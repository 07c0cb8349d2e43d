-- The events of some days that newer deliveries have corrected, by load.
select
    corrected._updated_at as restated_at,
    corrected._load_id as load_id,
    corrected._partition_date as day,
    count(*) filter (where corrected.why = 'superseded') as rows_replaced,
    count(*) filter (where corrected.why = 'withdrawn') as rows_withdrawn,
    count(*) filter (where corrected.why = 'returned') as rows_returned
from bronze.ga4_events_corrections as corrected
where corrected._partition_date between :start and :end
group by corrected._updated_at, corrected._load_id, corrected._partition_date
order by corrected._load_id desc, corrected._partition_date desc
