-- Page RPM by section: revenue per 1,000 pageviews over all days.
select
    summary.section,
    round(sum(summary.revenue_usd) * 1000 / sum(summary.pageviews), 2) as page_rpm_usd
from gold.daily_summary as summary
group by summary.section
having sum(summary.pageviews) > 0
order by page_rpm_usd desc
