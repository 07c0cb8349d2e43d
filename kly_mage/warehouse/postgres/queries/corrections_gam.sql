-- By how much deliveries of some days have corrected what ads had counted there, by load.
select
    max(restated.restated_at) as restated_at,
    restated.load_id,
    restated.day,
    sum(restated.after - restated.before) filter (where restated.measure = 'impressions')::bigint as impressions,
    sum(restated.after - restated.before) filter (where restated.measure = 'clicks')::bigint as clicks,
    sum(restated.after - restated.before) filter (where restated.measure = 'revenue_usd') as revenue_usd
from gold.restatements as restated
where restated.source = 'gam_delivery' and restated.day between :start and :end
group by restated.load_id, restated.day
order by restated_at desc, restated.day desc
