-- By how much restated ad rows have changed some days, by load.
select
    max(restated._updated_at) as restated_at,
    restated._load_id as load_id,
    restated._partition_date as day,
    countif(restated.sign > 0) as count_rows,
    sum(restated.sign * restated.impressions) as impressions,
    sum(restated.sign * restated.clicks) as clicks,
    sum(restated.sign * restated.revenue_usd) as revenue_usd
from bronze.gam_delivery_corrections as restated
where restated._partition_date between @start and @end
group by load_id, day
order by restated_at desc, day desc
