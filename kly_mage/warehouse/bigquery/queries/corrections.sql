-- The events of some days that newer deliveries have corrected, by load.
select
    corrected._updated_at as restated_at,
    corrected._load_id as load_id,
    corrected._partition_date as day,
    countif(corrected.why = 'superseded') as rows_replaced,
    countif(corrected.why = 'withdrawn') as rows_withdrawn,
    countif(corrected.why = 'returned') as rows_returned
from bronze.ga4_events_corrections as corrected
where corrected._partition_date between @start and @end
group by restated_at, load_id, day
order by load_id desc, day desc
