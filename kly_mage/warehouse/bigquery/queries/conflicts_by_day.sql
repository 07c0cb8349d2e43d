-- How many ad rows of each of some days have the key of another and other values.
select
    conflict._partition_date as day,
    count(*) as conflicts
from bronze.gam_delivery_conflicts as conflict
where conflict._partition_date between @start and @end and conflict.is_restatement is not true
group by day
order by day
