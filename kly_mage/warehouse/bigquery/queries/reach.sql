-- The first and the last day in gold.
select
    min(summary.date) as first_day,
    max(summary.date) as last_day
from gold.daily_summary as summary
