-- What each load has changed of the numbers of a day, of one article where one is asked for. Reads all of bronze.
select
    change.source,
    change.load_id,
    null::bigint as count_rows,
    sum(change.change) filter (where change.measure = 'pageviews')::bigint as pageviews,
    sum(change.change) filter (where change.measure = 'user_engagements')::bigint as user_engagements,
    sum(change.change) filter (where change.measure = 'impressions')::bigint as impressions,
    sum(change.change) filter (where change.measure = 'clicks')::bigint as clicks,
    sum(change.change) filter (where change.measure = 'revenue_usd') as revenue_usd
from gold.changes as change
where change.day = :day and (:article = '' or change.content_id = :article)
group by change.source, change.load_id
order by change.source, change.load_id
