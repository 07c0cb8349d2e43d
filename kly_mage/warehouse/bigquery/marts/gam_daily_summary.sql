-- Grain: one row per serving date and content_id.
-- Inputs: the rows of bronze.gam_delivery that came in since the last refresh (ops.gam_delivery_lock).
-- A re-run is safe: the rows read, their sums and the watermark move in one transaction.
declare v_since timestamp;
declare v_upto timestamp;
declare v_days array<date>;

begin transaction;
-- Every load of the source changes this row first: none is at work beside this, and later ones are stamped beyond it.
update ops.gam_delivery_lock set holder = 'gold.gam_daily_summary' where true;
set v_since = (select coalesce(watermark, timestamp '1970-01-01 00:00:00+00') from ops.gam_delivery_lock);
set v_upto = (select coalesce(stamp, timestamp '1970-01-01 00:00:00+00') from ops.gam_delivery_lock);

create temp table deltas as
select
    served_date,
    content_id,
    sum(impressions) as impressions,
    sum(clicks) as clicks,
    sum(revenue_usd) as revenue_usd
from (
    select
        _partition_date as served_date,
        coalesce(nullif(content_id, ''), '(not set)') as content_id,
        impressions,
        clicks,
        revenue_usd
    from bronze.gam_delivery
    where _updated_at > v_since and _updated_at <= v_upto
) as new_delivery
group by served_date, content_id;

set v_days = array(select distinct served_date from deltas);

merge into gold.gam_daily_summary as target
using (select * from deltas) as delta
on
    target.served_date = delta.served_date
    and target.content_id = delta.content_id
    and target.served_date in unnest(v_days)
when matched then update set
    impressions = target.impressions + delta.impressions,
    clicks = target.clicks + delta.clicks,
    revenue_usd = target.revenue_usd + delta.revenue_usd,
    _updated_at = current_timestamp()
when not matched then insert (served_date, content_id, impressions, clicks, revenue_usd, _updated_at)
values (delta.served_date, delta.content_id, delta.impressions, delta.clicks, delta.revenue_usd, current_timestamp());

insert into ops.touched_days (day, touched_at)
select day, current_timestamp() from unnest(v_days) as day;

update ops.gam_delivery_lock set watermark = v_upto where true;
commit transaction;
