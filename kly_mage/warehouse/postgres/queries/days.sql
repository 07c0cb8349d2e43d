-- Gold by day: all of it, or what a site or a section has of it, as it is added up; of an author, a search in titles, or of several of these, the
-- rows of the articles that the months name, if these are few; of an article, or where nothing is added up, the rows that are meant.
with asked as not materialized (
    select
        case
            when :article <> '' or :search <> '' or :author <> '' then null
            when :site = '' and :section = '' then 'all'
            when :section = '' then 'site'
            when :site = '' then 'section'
        end as by,
        :site || :section as name
),

found as (
    select distinct monthly.content_id
    from gold.monthly_summary as monthly
    cross join asked
    where
        :article = ''
        and asked.by is null
        and monthly.month between date_trunc('month', :start::date)::date and :end
        and (:site = '' or monthly.site = :site)
        and (:section = '' or monthly.section = :section)
        and (:author = '' or monthly.author = :author)
        and (
            :search = ''
            or monthly.content_id = :search
            or position(lower(:search) in lower(monthly.title)) > 0
        )
),

ways as (
    select
        (select count(*) from found) <= 20000
        and (
            select count(*)
            from gold.daily_totals as totals
            where totals.by = 'all' and totals.date between :start and :end
        ) > 0 as are_short
),

counted as (
    select
        totals.date,
        totals.pageviews,
        totals.sessions,
        totals.impressions,
        totals.clicks,
        totals.revenue_usd
    from gold.daily_totals as totals
    inner join asked
        on totals.by = asked.by and totals.name = asked.name
    where totals.date between :start and :end and totals.count_rows > 0
    union all
    select
        its.date,
        its.pageviews,
        its.sessions,
        its.impressions,
        its.clicks,
        its.revenue_usd
    from found
    cross join
        lateral (
            select summary.*
            from gold.daily_summary as summary
            where summary.content_id = found.content_id and summary.date between :start and :end
            order by summary.date
            offset 0 -- article by article: else all rows are read
        ) as its
    where (select ways.are_short from ways)
    union all
    select
        summary.date,
        summary.pageviews,
        summary.sessions,
        summary.impressions,
        summary.clicks,
        summary.revenue_usd
    from gold.daily_summary as summary
    where
        (:article <> '' or not (select ways.are_short from ways))
        and summary.date between :start and :end
        and (:site = '' or summary.site = :site)
        and (:section = '' or summary.section = :section)
        and (:author = '' or summary.author = :author)
        and (:article = '' or summary.content_id = :article)
        and (
            :search = ''
            or summary.content_id = :search
            or position(lower(:search) in lower(summary.title)) > 0
        )
)

select
    counted.date as day,
    sum(counted.pageviews)::bigint as pageviews,
    sum(counted.sessions)::bigint as sessions,
    sum(counted.impressions)::bigint as impressions,
    sum(counted.clicks)::bigint as clicks,
    sum(counted.revenue_usd) as revenue_usd
from counted
group by counted.date
order by counted.date desc
