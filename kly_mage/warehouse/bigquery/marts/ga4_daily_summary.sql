-- Grain: one row per event date and content_id.
-- Inputs: the rows of bronze.ga4_events that came in since the last refresh (ops.ga4_events_lock), and what was corrected.
-- A re-run is safe: the rows read, the sessions counted and the watermark move in one transaction.
declare v_since timestamp;
declare v_upto timestamp;
declare v_days array<date>;
declare v_lessened array<date>;
declare v_first timestamp;

begin transaction;
-- Every load of the source changes this row first: none is at work beside this, and later ones are stamped beyond it.
update ops.ga4_events_lock set holder = 'gold.ga4_daily_summary' where true;
set v_since = (select coalesce(watermark, timestamp '1970-01-01 00:00:00+00') from ops.ga4_events_lock);
set v_upto = (select coalesce(stamp, timestamp '1970-01-01 00:00:00+00') from ops.ga4_events_lock);

-- One row per session on an article on a day, or for all events there that name no user or no session: their
-- session_key is NULL. The lengths keep two pairs of ids apart whose texts are the same one behind the other.
create temp table session_activity as
select
    event_date,
    content_id,
    left(to_hex(sha256(concat(
        cast(length(user_id) as string), ':', cast(length(session) as string), ':', user_id, session, content_id
    ))), 32) as session_key,
    sum(sign) as events,
    sum(if(event_name = 'page_view', sign, 0)) as pageviews,
    sum(if(event_name = 'user_engagement', sign, 0)) as user_engagements
from (
    select
        _partition_date as event_date,
        coalesce(nullif(content_id, ''), '(not set)') as content_id,
        nullif(user_pseudo_id, '') as user_id,
        nullif(session_id, '') as session,
        event_name,
        1 as sign
    from bronze.ga4_events
    where _updated_at > v_since and _updated_at <= v_upto
    union all
    -- What a newer delivery of its day has taken back (-1), or made count again (1).
    select
        _partition_date as event_date,
        coalesce(nullif(content_id, ''), '(not set)') as content_id,
        nullif(user_pseudo_id, '') as user_id,
        nullif(session_id, '') as session,
        event_name,
        sign
    from bronze.ga4_events_corrections
    where _updated_at > v_since and _updated_at <= v_upto
) as new_events
group by event_date, content_id, session_key;

set v_days = array(select distinct event_date from session_activity);

-- Where events were taken back: what is left there. Only then are these days looked at in bronze.
set v_lessened = array(select distinct event_date from session_activity where events <= 0);
create temp table events_left as
select
    cast(null as date) as event_date,
    cast(null as string) as content_id,
    cast(null as string) as session_key
limit 0;
if array_length(v_lessened) > 0 then
set v_first = (
    select min(_updated_at) from bronze.ga4_events_hashrow
    where
        _utc_day >= (select date_sub(min(day), interval 1 day) from unnest(v_lessened) as day)
        and _utc_day <= (select date_add(max(day), interval 1 day) from unnest(v_lessened) as day)
);
insert into events_left (event_date, content_id, session_key)
select distinct
    event_date,
    content_id,
    left(to_hex(sha256(concat(
        cast(length(user_id) as string), ':', cast(length(session) as string), ':', user_id, session, content_id
    ))), 32)
from (
    select
        _partition_date as event_date,
        coalesce(nullif(content_id, ''), '(not set)') as content_id,
        nullif(user_pseudo_id, '') as user_id,
        nullif(session_id, '') as session
    from bronze.ga4_events_counted
    where _partition_date in unnest(v_lessened) and _updated_at >= v_first and _updated_at <= v_upto
) as counting;
end if;

create temp table judged as
select
    activity.event_date,
    activity.content_id,
    activity.session_key,
    activity.events,
    activity.pageviews,
    activity.user_engagements,
    activity.session_key is not null and counted.session_key is null and activity.events > 0 as is_new,
    counted.session_key is not null and activity.events <= 0 and sessions_left.session_key is null as is_gone
from session_activity as activity
left join gold.ga4_daily_sessions as counted
    on
        activity.event_date = counted.event_date
        and activity.session_key = counted.session_key
        and counted.event_date in unnest(v_days)
left join (select distinct event_date, session_key from events_left) as sessions_left
    on activity.event_date = sessions_left.event_date and activity.session_key = sessions_left.session_key;

insert into gold.ga4_daily_sessions (event_date, session_key)
select event_date, session_key from judged where is_new;

if array_length(v_lessened) > 0 then
delete from gold.ga4_daily_sessions as counted
where
    counted.event_date in unnest(v_lessened)
    and exists (
        select 1 from judged
        where judged.is_gone and judged.event_date = counted.event_date and judged.session_key = counted.session_key
    );
end if;

merge into gold.ga4_daily_summary as target
using (
    select
        judged.event_date,
        judged.content_id,
        sum(judged.pageviews) as pageviews,
        countif(judged.is_new) - countif(judged.is_gone) as sessions,
        sum(judged.user_engagements) as user_engagements,
        sum(judged.events) <= 0 and max(content_left.content_id) is null as is_empty
    from judged
    left join (select distinct event_date, content_id from events_left) as content_left
        on judged.event_date = content_left.event_date and judged.content_id = content_left.content_id
    group by judged.event_date, judged.content_id
) as delta
on
    target.event_date = delta.event_date
    and target.content_id = delta.content_id
    and target.event_date in unnest(v_days)
when matched and delta.is_empty then delete
when matched then update set
    pageviews = target.pageviews + delta.pageviews,
    sessions = target.sessions + delta.sessions,
    user_engagements = target.user_engagements + delta.user_engagements,
    _updated_at = current_timestamp()
when not matched and not delta.is_empty then insert (event_date, content_id, pageviews, sessions, user_engagements, _updated_at)
values (delta.event_date, delta.content_id, delta.pageviews, delta.sessions, delta.user_engagements, current_timestamp());

insert into ops.touched_days (day, touched_at)
select day, current_timestamp() from unnest(v_days) as day;

update ops.ga4_events_lock set watermark = v_upto where true;
commit transaction;
