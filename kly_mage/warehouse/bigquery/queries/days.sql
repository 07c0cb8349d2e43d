-- Gold by day: of a site, a section, an author, an article or a search in titles where one is asked for.
select
    summary.date as day,
    sum(summary.pageviews) as pageviews,
    sum(summary.sessions) as sessions,
    sum(summary.impressions) as impressions,
    sum(summary.clicks) as clicks,
    sum(summary.revenue_usd) as revenue_usd
from gold.daily_summary as summary
where
    summary.date between @start and @end
    and (@site = '' or summary.site = @site)
    and (@section = '' or summary.section = @section)
    and (@author = '' or summary.author = @author)
    and (@article = '' or summary.content_id = @article)
    and (
        @search = ''
        or summary.content_id = @search
        or strpos(lower(summary.title), lower(@search)) > 0
    )
group by day
order by day desc
