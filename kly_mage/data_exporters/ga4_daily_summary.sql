-- Grain: one row per event date and content_id.
-- Inputs: the rows of bronze.ga4_events that came in since the last refresh (ops.watermarks), and what was corrected since.
-- A re-run is safe: the rows read, the sessions counted and the watermark move in one transaction.

-- Each statement has to see what was committed while the locks were waited for, whatever the database defaults to.
set transaction isolation level read committed;
set local work_mem = '256MB';
-- Index pages are in memory or on flash: few keys are looked up there, the history is not scanned for them.
set local random_page_cost = 1.1;
-- A session that has no bound for waiting gets one: where Mage runs this block over its own connection.
select set_config('lock_timeout', '15min', true) where current_setting('lock_timeout') = '0';
select pg_advisory_xact_lock(hashtext('gold.ga4_daily_summary'));  -- one refresh at a time; readers go on

-- Loads hold this table in row exclusive mode from before they take their _updated_at until they commit:
-- this waits for those in flight, and those that come later are stamped beyond the new watermark.
lock table only bronze.ga4_events in share mode;

-- To the planner, rows beyond some moment are a third of all: it would read whole partitions and pass the index by.
set local enable_seqscan = off;

-- One row per session on an article on a day, or for all events there that name no user or no session: their
-- session_key is NULL. A table, not a WITH: what follows is then planned for as many rows as there are.
create temp table session_activity on commit drop as
with new_events as (
    select
        _partition_date as event_date,
        coalesce(nullif(content_id, ''), '(not set)') as content_id,
        hashtextextended(nullif(user_pseudo_id, ''), hashtextextended(nullif(session_id, ''), 0)) as session,
        event_name,
        1 as sign,
        _updated_at
    from bronze.ga4_events
    where
        _updated_at > (
            select mart.watermark from ops.watermarks as mart
            where mart.mart = 'gold.ga4_daily_summary'
        )
    union all
    -- What a newer delivery of its day has taken back (-1), or made count again (1).
    select
        _partition_date as event_date,
        coalesce(nullif(content_id, ''), '(not set)') as content_id,
        hashtextextended(nullif(user_pseudo_id, ''), hashtextextended(nullif(session_id, ''), 0)) as session,
        event_name,
        sign,
        _updated_at
    from bronze.ga4_events_to_correct
)

select
    event_date,
    content_id,
    hashtextextended(content_id, session) as session_key,
    sum(sign) as events,
    coalesce(sum(sign) filter (where event_name = 'page_view'), 0) as pageviews,
    coalesce(sum(sign) filter (where event_name = 'user_engagement'), 0) as user_engagements,
    max(_updated_at) as watermark
from new_events
group by event_date, content_id, session;

set local enable_seqscan = on;

-- Where events were taken back: what is left there. Empty unless a newer delivery has corrected a day.
create temp table left_over on commit drop as
with lessened as (
    select distinct
        event_date,
        content_id
    from session_activity
    where events <= 0
)

select distinct
    lessened.event_date,
    lessened.content_id,
    hashtextextended(
        lessened.content_id,
        hashtextextended(nullif(event.user_pseudo_id, ''), hashtextextended(nullif(event.session_id, ''), 0))
    ) as session_key
from lessened
inner join bronze.ga4_events_counted(array(select distinct event_date from lessened)) as event
    on
        lessened.event_date = event._partition_date
        and lessened.content_id = coalesce(nullif(event.content_id, ''), '(not set)');

do $$ begin for attempt in 1..2 loop begin

with judged as materialized (
    select
        session_activity.event_date,
        session_activity.content_id,
        session_activity.session_key,
        session_activity.events,
        session_activity.pageviews,
        session_activity.user_engagements,
        session_activity.watermark,
        session_activity.session_key is not null and counted.session_key is null and events > 0 as is_new,
        counted.session_key is not null and events <= 0 and not exists (
            select from left_over
            where left_over.event_date = counted.event_date and left_over.session_key = counted.session_key
        ) as is_gone
    from session_activity
    left join gold.ga4_daily_sessions as counted
        on session_activity.event_date = counted.event_date and session_activity.session_key = counted.session_key
),

new_sessions as (
    insert into gold.ga4_daily_sessions (event_date, session_key)
    select
        event_date,
        session_key
    from judged
    where is_new
    order by event_date, session_key
),

gone_sessions as (
    delete from gold.ga4_daily_sessions as counted
    using judged
    where judged.is_gone and counted.event_date = judged.event_date and counted.session_key = judged.session_key
),

deltas as materialized (
    select
        event_date,
        content_id,
        sum(pageviews) as pageviews,
        count(*) filter (where is_new) - count(*) filter (where is_gone) as sessions,
        sum(user_engagements) as user_engagements,
        max(watermark) as watermark,
        sum(events) <= 0 and not exists (
            select from left_over
            where left_over.event_date = judged.event_date and left_over.content_id = judged.content_id
        ) as is_empty
    from judged
    group by event_date, content_id
),

progress as (
    update ops.watermarks
    set
        watermark = (select max(watermark) from deltas),
        refreshed_at = clock_timestamp()
    where mart = 'gold.ga4_daily_summary' and exists (select from deltas)
)

merge into gold.ga4_daily_summary as target
using deltas as source
on target.event_date = source.event_date and target.content_id = source.content_id
when matched and source.is_empty then delete
when matched then update set
    pageviews = target.pageviews + source.pageviews,
    sessions = target.sessions + source.sessions,
    user_engagements = target.user_engagements + source.user_engagements,
    _updated_at = clock_timestamp()
when not matched and not source.is_empty then insert (event_date, content_id, pageviews, sessions, user_engagements, _updated_at)
values (source.event_date, source.content_id, source.pageviews, source.sessions, source.user_engagements, clock_timestamp());

exit;
exception when unique_violation then
    if attempt = 2 then raise; end if;
    -- Two sessions that came in together share a key (docs/decisions.md, "Session keys have 64 bits"): one of them counts.
    update session_activity as again
    set session_key = null
    where exists (
        select from session_activity as first
        where
            first.event_date = again.event_date
            and first.session_key = again.session_key
            and first.ctid < again.ctid
    );
end; end loop; end $$;

drop table session_activity, left_over;
set local random_page_cost to default;
