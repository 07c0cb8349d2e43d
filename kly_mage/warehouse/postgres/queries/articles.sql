-- The articles of some days, best first: what was read and earned. Names are looked up for those alone that are shown.
-- Where title, site, section or author are asked for, the articles that have them are found first.
with chosen as materialized (
    select article.content_id
    from gold.articles as article
    where
        :filtered
        and (
            :search = ''
            or article.content_id = :search
            or position(lower(:search) in lower(article.title)) > 0
        )
        and (:site = '' or coalesce(nullif(article.site, ''), '(not set)') = :site)
        and (:section = '' or coalesce(nullif(article.section, ''), '(not set)') = :section)
        and (:author = '' or coalesce(nullif(article.author, ''), '(not set)') = :author)
),

sums as (
    select
        summary.content_id,
        max(summary.date) as last_day,
        sum(summary.pageviews)::bigint as pageviews,
        sum(summary.sessions)::bigint as sessions,
        sum(summary.impressions)::bigint as impressions,
        sum(summary.clicks)::bigint as clicks,
        sum(summary.revenue_usd) as revenue_usd
    from gold.daily_summary as summary
    where
        summary.date between :start and :end
        and (
            not :filtered
            or summary.content_id in (select chosen.content_id from chosen)
            or (:search = summary.content_id and :site || :section || :author in ('', '(not set)'))
            -- An article that the CMS does not know has no name but this.
            or (
                '(not set)' in (:site, :section, :author)
                and summary.site || summary.section || summary.author = '(not set)(not set)(not set)'
                and :site in ('', '(not set)') and :section in ('', '(not set)') and :author in ('', '(not set)')
                and :search in ('', summary.content_id)
            )
        )
    group by summary.content_id
),

ratios as (
    select
        sums.*,
        round(sums.revenue_usd * 1000 / nullif(sums.pageviews, 0), 6) as page_rpm_usd,
        count(*) over () as articles,
        sum(sums.pageviews) over ()::bigint as all_pageviews,
        sum(sums.revenue_usd) over () as all_revenue_usd
    from sums
),

best as (
    select
        ratios.*,
        row_number() over (
            order by
                case :sort
                    when 'revenue_usd' then ratios.revenue_usd
                    when 'page_rpm_usd' then ratios.page_rpm_usd
                    when 'sessions' then ratios.sessions
                    when 'impressions' then ratios.impressions
                    else ratios.pageviews
                end desc nulls last,
                ratios.content_id asc
        ) as place
    from ratios
)

select
    best.content_id,
    named.title,
    named.site,
    named.section,
    named.author,
    best.pageviews,
    best.sessions,
    best.impressions,
    best.clicks,
    best.revenue_usd,
    best.page_rpm_usd,
    best.articles,
    best.all_pageviews,
    best.all_revenue_usd
from best
inner join gold.daily_summary as named
    on best.content_id = named.content_id and best.last_day = named.date
where :limit::bigint is null or best.place <= :limit::bigint
order by best.place
