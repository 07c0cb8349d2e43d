-- Grain: one row per serving date and content_id.
-- Inputs: the rows of bronze.gam_delivery that came in since the last refresh (ops.gam_delivery_lock), and what was corrected.
-- A re-run is safe: the rows read, their sums and the watermark move in one transaction.
declare v_since timestamp;
declare v_upto timestamp;
declare v_days array<date>;
declare v_lessened array<date>;
declare v_first timestamp;

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
    sum(revenue_usd) as revenue_usd,
    sum(sign) <= 0 as is_lessened
from (
    select
        _partition_date as served_date,
        coalesce(nullif(content_id, ''), '(not set)') as content_id,
        impressions,
        clicks,
        revenue_usd,
        1 as sign
    from bronze.gam_delivery
    where _updated_at > v_since and _updated_at <= v_upto
    union all
    -- What was counted and counts no longer (-1), and what counts in its place (1).
    select
        _partition_date as served_date,
        coalesce(nullif(content_id, ''), '(not set)') as content_id,
        sign * impressions as impressions,
        sign * clicks as clicks,
        sign * revenue_usd as revenue_usd,
        sign
    from bronze.gam_delivery_corrections
    where _updated_at > v_since and _updated_at <= v_upto
) as new_delivery
group by served_date, content_id;

set v_days = array(select distinct served_date from deltas);

-- Where rows were taken back: what is left there. Only then are these days looked at in bronze.
set v_lessened = array(select distinct served_date from deltas where is_lessened);
create temp table delivery_left as
select
    cast(null as date) as served_date,
    cast(null as string) as content_id
limit 0;
if array_length(v_lessened) > 0 then
set v_first = (
    select min(_updated_at) from bronze.gam_delivery_hashrow
    where
        _utc_day >= (select date_sub(min(day), interval 1 day) from unnest(v_lessened) as day)
        and _utc_day <= (select date_add(max(day), interval 1 day) from unnest(v_lessened) as day)
);
insert into delivery_left (served_date, content_id)
select distinct
    _partition_date,
    coalesce(nullif(content_id, ''), '(not set)')
from bronze.gam_delivery_counted
where _partition_date in unnest(v_lessened) and _updated_at >= v_first and _updated_at <= v_upto;
end if;

merge into gold.gam_daily_summary as target
using (
    select
        deltas.served_date,
        deltas.content_id,
        deltas.impressions,
        deltas.clicks,
        deltas.revenue_usd,
        deltas.is_lessened and delivery_left.content_id is null as is_empty
    from deltas
    left join delivery_left
        on deltas.served_date = delivery_left.served_date and deltas.content_id = delivery_left.content_id
) as delta
on
    target.served_date = delta.served_date
    and target.content_id = delta.content_id
    and target.served_date in unnest(v_days)
when matched and delta.is_empty then delete
when matched then update set
    impressions = target.impressions + delta.impressions,
    clicks = target.clicks + delta.clicks,
    revenue_usd = target.revenue_usd + delta.revenue_usd,
    _updated_at = current_timestamp()
when not matched and not delta.is_empty then insert (served_date, content_id, impressions, clicks, revenue_usd, _updated_at)
values (delta.served_date, delta.content_id, delta.impressions, delta.clicks, delta.revenue_usd, current_timestamp());

insert into ops.touched_days (day, touched_at)
select day, current_timestamp() from unnest(v_days) as day;

update ops.gam_delivery_lock set watermark = v_upto where true;
commit transaction;
