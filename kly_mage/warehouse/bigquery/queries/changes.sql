-- What each load has changed of the numbers of a day, of one article where one is asked for. Reads all of bronze.
select
    change.source,
    change.load_id,
    cast(null as int64) as count_rows,
    cast(sum(if(change.measure = 'pageviews', change.change, null)) as int64) as pageviews,
    cast(sum(if(change.measure = 'user_engagements', change.change, null)) as int64) as user_engagements,
    cast(sum(if(change.measure = 'impressions', change.change, null)) as int64) as impressions,
    cast(sum(if(change.measure = 'clicks', change.change, null)) as int64) as clicks,
    sum(if(change.measure = 'revenue_usd', change.change, null)) as revenue_usd
from gold.changes as change
where change.day = @day and (@article = '' or change.content_id = @article)
group by change.source, change.load_id
order by change.source, change.load_id
