-- Page RPM by section: revenue per 1,000 pageviews over all days.
select
    section,
    round(sum(revenue_usd) * 1000 / sum(pageviews), 2) as page_rpm_usd
from gold.daily_summary
group by section
having sum(pageviews) > 0
order by page_rpm_usd desc
