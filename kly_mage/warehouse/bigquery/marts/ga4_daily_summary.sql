-- Grain: one row per event date and content_id.
-- Inputs: the rows of bronze.ga4_events that came in since the last refresh (ops.ga4_events_lock).
-- A re-run is safe: the rows read, the sessions counted and the watermark move in one transaction.
declare v_since timestamp;
declare v_upto timestamp;
declare v_days array<date>;

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
    countif(event_name = 'page_view') as pageviews,
    countif(event_name = 'user_engagement') as user_engagements
from (
    select
        _partition_date as event_date,
        coalesce(nullif(content_id, ''), '(not set)') as content_id,
        nullif(user_pseudo_id, '') as user_id,
        nullif(session_id, '') as session,
        event_name
    from bronze.ga4_events
    where _updated_at > v_since and _updated_at <= v_upto
) as new_events
group by event_date, content_id, session_key;

set v_days = array(select distinct event_date from session_activity);

create temp table judged as
select
    activity.event_date,
    activity.content_id,
    activity.session_key,
    activity.pageviews,
    activity.user_engagements,
    activity.session_key is not null and counted.session_key is null as is_new
from session_activity as activity
left join gold.ga4_daily_sessions as counted
    on
        activity.event_date = counted.event_date
        and activity.session_key = counted.session_key
        and counted.event_date in unnest(v_days);

insert into gold.ga4_daily_sessions (event_date, session_key)
select event_date, session_key from judged where is_new;

merge into gold.ga4_daily_summary as target
using (
    select
        event_date,
        content_id,
        sum(pageviews) as pageviews,
        countif(is_new) as sessions,
        sum(user_engagements) as user_engagements
    from judged
    group by event_date, content_id
) as delta
on
    target.event_date = delta.event_date
    and target.content_id = delta.content_id
    and target.event_date in unnest(v_days)
when matched then update set
    pageviews = target.pageviews + delta.pageviews,
    sessions = target.sessions + delta.sessions,
    user_engagements = target.user_engagements + delta.user_engagements,
    _updated_at = current_timestamp()
when not matched then insert (event_date, content_id, pageviews, sessions, user_engagements, _updated_at)
values (delta.event_date, delta.content_id, delta.pageviews, delta.sessions, delta.user_engagements, current_timestamp());

insert into ops.touched_days (day, touched_at)
select day, current_timestamp() from unnest(v_days) as day;

update ops.ga4_events_lock set watermark = v_upto where true;
commit transaction;
