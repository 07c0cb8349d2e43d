-- Gold by day: of a site, a section, an author, an article or a search in titles where one is asked for.
select
    summary.date as day,
    sum(summary.pageviews)::bigint as pageviews,
    sum(summary.sessions)::bigint as sessions,
    sum(summary.impressions)::bigint as impressions,
    sum(summary.clicks)::bigint as clicks,
    sum(summary.revenue_usd) as revenue_usd
from gold.daily_summary as summary
where
    summary.date between :start and :end
    and (:site = '' or summary.site = :site)
    and (:section = '' or summary.section = :section)
    and (:author = '' or summary.author = :author)
    and (:article = '' or summary.content_id = :article)
    and (
        :search = ''
        or summary.content_id = :search
        or position(lower(:search) in lower(summary.title)) > 0
    )
group by summary.date
order by summary.date desc
