-- Grain: one row per event date and content_id.
-- Inputs: the rows of bronze.ga4_events that came in since the last refresh (ops.watermarks).
-- A re-run is safe: the rows read, the sessions counted and the watermark move in one transaction.

set local work_mem = '256MB';
select pg_advisory_xact_lock(hashtext('gold.ga4_daily_summary'));  -- one refresh at a time; readers go on

-- Loads hold this table in row exclusive mode from before they take their _updated_at until they commit:
-- this waits for those in flight, and those that come later are stamped beyond the new watermark.
lock table only bronze.ga4_events in share mode;

with new_events as (
    select
        _partition_date as event_date,
        coalesce(nullif(content_id, ''), '(not set)') as content_id,
        nullif(user_pseudo_id, '') as user_pseudo_id,
        nullif(session_id, '') as session_id,
        event_name,
        _updated_at
    from bronze.ga4_events
    where
        _updated_at > (
            select watermarks.watermark from ops.watermarks
            where watermarks.mart = 'gold.ga4_daily_summary'
        )
),

-- One row per session on an article on a day, or per visitor without one.
visits as materialized (
    select
        event_date,
        content_id,
        user_pseudo_id,
        session_id,
        count(*) filter (where event_name = 'page_view') as pageviews,
        count(*) filter (where event_name = 'user_engagement') as user_engagements,
        max(_updated_at) as watermark
    from new_events
    group by event_date, content_id, user_pseudo_id, session_id
),

keyed_visits as materialized (
    select
        event_date,
        content_id,
        pageviews,
        user_engagements,
        watermark,
        -- jsonb text keeps the parts apart whatever they hold; NULL when GA4 names no user or no session.
        case
            when user_pseudo_id is not null and session_id is not null
                then md5(jsonb_build_array(event_date, content_id, user_pseudo_id, session_id)::text)::uuid
        end as session_key
    from visits
),

new_sessions as (
    insert into gold.ga4_daily_sessions (session_key)
    select session_key from keyed_visits
    where session_key is not null
    order by session_key
    on conflict do nothing
    returning session_key
),

additions as (
    select
        visit.event_date,
        visit.content_id,
        sum(visit.pageviews) as pageviews,
        count(session.session_key) as sessions,
        sum(visit.user_engagements) as user_engagements
    from keyed_visits as visit
    left join new_sessions as session
        on visit.session_key = session.session_key
    group by visit.event_date, visit.content_id
),

progress as (
    update ops.watermarks
    set
        watermark = (select max(watermark) from visits),
        refreshed_at = clock_timestamp()
    where mart = 'gold.ga4_daily_summary' and exists (select from visits)
)

merge into gold.ga4_daily_summary as old
using additions as new
on old.event_date = new.event_date and old.content_id = new.content_id
when matched then update set
    pageviews = old.pageviews + new.pageviews,
    sessions = old.sessions + new.sessions,
    user_engagements = old.user_engagements + new.user_engagements,
    _updated_at = clock_timestamp()
when not matched then insert (event_date, content_id, pageviews, sessions, user_engagements, _updated_at)
values (new.event_date, new.content_id, new.pageviews, new.sessions, new.user_engagements, clock_timestamp());
