-- By how much restated ad rows have changed some days, by load.
select
    restated.restated_at,
    restated.load_id,
    restated.served_date as day,
    restated.count_rows,
    restated.impressions,
    restated.clicks,
    restated.revenue_usd
from gold.gam_restatements as restated
where restated.served_date between :start and :end
order by restated.restated_at desc, restated.served_date desc
