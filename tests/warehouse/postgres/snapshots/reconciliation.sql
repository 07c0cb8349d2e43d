-- What the ledger, bronze and gold say about each source and day, side by side, for people who live in SQL. What only the
-- files know comes from ops.file_checks. reconciliation_view.py fills in what the declarations say about sources and marts.

create or replace view gold.reconciliation as
-- Not by itself: each look at bronze has it within, and may then be shared by several processes.
with known_content as not materialized (
    select distinct content_id from bronze.cms_articles
),

stored as (
    select
        'cms_articles' as source,
        stored._partition_date as day,
        count(*) as in_bronze,
        null::bigint as "pageviews",
        null::bigint as "user_engagements",
        null::numeric as "impressions",
        null::numeric as "clicks",
        null::numeric as "revenue",
        null::bigint as without_content,
        null::bigint as unknown_content,
        null::bigint as without_session,
        null::numeric as revenue_without_content,
        null::numeric as revenue_of_unknown_content,
        null::bigint as negative,
        null::numeric as revenue_negative
    from bronze."cms_articles" as stored
    group by stored._partition_date
    union all
    select
        'ga4_events' as source,
        stored._partition_date as day,
        count(*) as in_bronze,
        count(*) filter (where stored."event_name" = 'page_view') as "pageviews",
        count(*) filter (where stored."event_name" = 'user_engagement') as "user_engagements",
        null::numeric as "impressions",
        null::numeric as "clicks",
        null::numeric as "revenue",
        count(*) filter (where nullif(stored."content_id", '') is null) as without_content,
        count(*) filter (where stored."content_id" <> '' and known_content.content_id is null) as unknown_content,
        count(*) filter (where nullif(stored."user_pseudo_id", '') is null or nullif(stored."session_id", '') is null) as without_session,
        null::numeric as revenue_without_content,
        null::numeric as revenue_of_unknown_content,
        null::bigint as negative,
        null::numeric as revenue_negative
    from (select stored."event_timestamp", stored."event_name", stored."user_pseudo_id", stored."session_id", stored."content_id", stored."site", stored."page_location", stored."device_category", stored."country", stored."traffic_source", stored._hashrow, stored._partition_date, stored._updated_at, stored._load_id from bronze."ga4_events" as stored left join (select _hashrow, _partition_date as day, (array_agg(why order by _load_id desc))[1] as last_why from bronze."ga4_events_corrections" where true group by _hashrow, _partition_date having sum(sign) < 0) as gone on stored._hashrow = gone._hashrow where gone._hashrow is null) as stored
    left join known_content
        on stored."content_id" = known_content.content_id
    group by stored._partition_date
    union all
    select
        'gam_delivery' as source,
        stored._partition_date as day,
        count(*) as in_bronze,
        null::bigint as "pageviews",
        null::bigint as "user_engagements",
        sum(stored."impressions") as "impressions",
        sum(stored."clicks") as "clicks",
        sum(stored."revenue_usd") as "revenue",
        count(*) filter (where nullif(stored."content_id", '') is null) as without_content,
        count(*) filter (where stored."content_id" <> '' and known_content.content_id is null) as unknown_content,
        null::bigint as without_session,
        sum(stored."revenue_usd") filter (where nullif(stored."content_id", '') is null) as revenue_without_content,
        sum(stored."revenue_usd") filter (where stored."content_id" <> '' and known_content.content_id is null) as revenue_of_unknown_content,
        count(*) filter (where stored."revenue_usd" < 0) as negative,
        sum(stored."revenue_usd") filter (where stored."revenue_usd" < 0) as revenue_negative
    from (select stored."served_at", stored."site", stored."ad_unit", stored."line_item", stored."creative", stored."content_id", stored."impressions", stored."clicks", stored."revenue_usd", stored._hashrow, stored._partition_date, stored._updated_at, stored._load_id from bronze."gam_delivery" as stored left join (select _hashrow, _partition_date as day, (array_agg(why order by _load_id desc))[1] as last_why from bronze."gam_delivery_corrections" where true group by _hashrow, _partition_date, "site", "impressions", "clicks", "revenue_usd", "_undeclared" having sum(sign) < 0) as gone on stored._hashrow = gone._hashrow where gone._hashrow is null union all select * from (select "served_at", "site", "ad_unit", "line_item", "creative", "content_id", "impressions", "clicks", "revenue_usd", _hashrow, _partition_date, max(_updated_at) as _updated_at, max(_load_id) as _load_id from bronze."gam_delivery_corrections" where true group by _hashrow, _partition_date, "served_at", "site", "ad_unit", "line_item", "creative", "content_id", "impressions", "clicks", "revenue_usd", _undeclared having sum(sign) > 0) as added) as stored
    left join known_content
        on stored."content_id" = known_content.content_id
    group by stored._partition_date
),

conflicts as (
    select
        'gam_delivery' as source,
        _partition_date as day,
        count(*) filter (where is_restatement is not true) as conflicting,
        count(*) filter (where is_restatement) as superseded,
        sum("revenue_usd") filter (where is_restatement is not true) as revenue,
        sum("revenue_usd" - "counted_revenue_usd") filter (where is_restatement is not true) as revenue_change
    from bronze."gam_delivery_conflicts"
    group by _partition_date
),

earlier as (
    select
        'ga4_events' as source,
        gone._partition_date as day,
        count(*) filter (where last_why not in ('withdrawn', 'completed')) as replaced,
        count(*) filter (where last_why = 'withdrawn') as withdrawn
    from bronze."ga4_events_gone" as gone
    group by gone._partition_date
    union all
    select
        'gam_delivery' as source,
        gone._partition_date as day,
        count(*) filter (where last_why not in ('withdrawn', 'completed')) as replaced,
        count(*) filter (where last_why = 'withdrawn') as withdrawn
    from bronze."gam_delivery_gone" as gone
    group by gone._partition_date
),

-- A row without a readable day goes with the day of its file.
located_rejects as (
    select
        source,
        coalesce(day, file_day) as day,
        day is null as is_without_day,
        regexp_replace(reason, '^[0-9]+ fields, the header has [0-9]+$', 'wrong number of fields') as reason,
        case source when 'gam_delivery' then ops.readable_money(row ->> 'revenue_usd') end as revenue
    from bronze.rejects
    where resolved_at is null and line > 0
),

rejects_by_reason as (
    select
        source,
        day,
        reason,
        count(*) as rejected,
        count(*) filter (where is_without_day) as without_day,
        sum(revenue) as revenue
    from located_rejects
    group by source, day, reason
),

rejects as (
    select
        source,
        day,
        sum(rejected) as rejected,
        sum(without_day) as without_day,
        sum(revenue) as revenue,
        jsonb_object_agg(reason, rejected) as reasons
    from rejects_by_reason
    group by source, day
),

-- The last load of a day saw most of it. Articles are spread over loads: for them only the files themselves tell.
reads as (
    select distinct on (load.source, load_day.day)
        load.source,
        load_day.day,
        load_day.rows_read,
        load_day.rows_superseded,
        load_day.rows_forgotten,
        load.load_id,
        load.finished_at
    from ops.load_days as load_day
    inner join ops.loads as load
        on load_day.load_id = load.load_id
    where
        load.status = 'done'
        and not exists (
            select from ops.loads as taken_out
            where
                taken_out.source = load.source and taken_out.status = 'unload' and taken_out.load_id > load.load_id
                and load_day.day between taken_out.start_day and taken_out.end_day
        )
    order by load.source asc, load_day.day asc, load.load_id desc
),

marts as (
    select
        'ga4_events' as source,
        mart."event_date" as day,
        sum(mart."pageviews") as "pageviews",
        sum(mart."user_engagements") as "user_engagements",
        null::numeric as "impressions",
        null::numeric as "clicks",
        null::numeric as "revenue",
        count(*) filter (where other_0."served_date" is null) as one_sided,
        sum(mart."pageviews") filter (where other_0."served_date" is null) as one_sided_amount
    from gold.ga4_daily_summary as mart
    left join gold.gam_daily_summary as other_0
        on mart."event_date" = other_0."served_date" and mart."content_id" = other_0."content_id"
    group by mart."event_date"
    union all
    select
        'gam_delivery' as source,
        mart."served_date" as day,
        null::numeric as "pageviews",
        null::numeric as "user_engagements",
        sum(mart."impressions") as "impressions",
        sum(mart."clicks") as "clicks",
        sum(mart."revenue_usd") as "revenue",
        count(*) filter (where other_0."event_date" is null) as one_sided,
        sum(mart."revenue_usd") filter (where other_0."event_date" is null) as one_sided_amount
    from gold.gam_daily_summary as mart
    left join gold.ga4_daily_summary as other_0
        on mart."served_date" = other_0."event_date" and mart."content_id" = other_0."content_id"
    group by mart."served_date"
),

days as (
    select
        source,
        day
    from stored
    union
    select
        source,
        day
    from conflicts
    union
    select
        source,
        day
    from earlier
    union
    select
        source,
        day
    from rejects
    union
    select
        source,
        day
    from reads
    union
    select
        source,
        day
    from marts
    union
    select
        source,
        day
    from ops.file_checks
),

counted as (
    select
        days.source,
        days.day,
        case
            when days.source in ('cms_articles') then file_check.rows_in_files
            when reads.rows_read is not null or rejects.without_day is not null
                then coalesce(reads.rows_read, 0) + coalesce(rejects.without_day, 0)
        end as rows_read,
        coalesce(
            case when days.source in ('cms_articles') then file_check.rows_forgotten else reads.rows_forgotten end, 0
        ) as rows_forgotten,
        coalesce(stored.in_bronze, 0) as rows_in_bronze,
        coalesce(conflicts.conflicting, 0) as rows_conflicting,
        coalesce(rejects.rejected, 0) as rows_rejected,
        coalesce(nullif(conflicts.superseded, 0), reads.rows_superseded, 0) as rows_superseded,
        coalesce(rejects.reasons, '{}') as rejects,
        stored,
        conflicts,
        earlier,
        rejects as reject,
        reads,
        marts,
        file_check
    from days
    left join stored
        on days.source = stored.source and days.day is not distinct from stored.day
    left join conflicts
        on days.source = conflicts.source and days.day is not distinct from conflicts.day
    left join earlier
        on days.source = earlier.source and days.day is not distinct from earlier.day
    left join rejects
        on days.source = rejects.source and days.day is not distinct from rejects.day
    left join reads
        on days.source = reads.source and days.day is not distinct from reads.day
    left join marts
        on days.source = marts.source and days.day is not distinct from marts.day
    left join ops.file_checks as file_check
        on days.source = file_check.source and days.day is not distinct from file_check.day
)

select
    source,
    day,
    rows_read,
    greatest(
        rows_read - rows_in_bronze - rows_conflicting - rows_rejected - rows_superseded - rows_forgotten, 0
    ) as rows_duplicate,
    rows_in_bronze,
    rows_conflicting,
    rows_rejected,
    greatest(
        rows_in_bronze + rows_conflicting + rows_rejected + rows_superseded + rows_forgotten - rows_read, 0
    ) as rows_not_in_last_load,
    rejects,
    (stored)."pageviews" as "pageviews_in_bronze",
    (marts)."pageviews" as "pageviews_in_gold",
    (stored)."user_engagements" as "user_engagements_in_bronze",
    (marts)."user_engagements" as "user_engagements_in_gold",
    (stored)."impressions" as "impressions_in_bronze",
    (marts)."impressions" as "impressions_in_gold",
    (stored)."clicks" as "clicks_in_bronze",
    (marts)."clicks" as "clicks_in_gold",
    (stored)."revenue" as "revenue_in_bronze",
    (marts)."revenue" as "revenue_in_gold",
    coalesce((marts).revenue, 0) - coalesce((stored).revenue, 0) as revenue_difference,
    (conflicts).revenue as revenue_in_conflicts,
    (conflicts).revenue_change as revenue_change_in_conflicts,
    (reject).revenue as revenue_in_rejects,
    (stored).without_content as rows_without_content,
    (stored).revenue_without_content as revenue_without_content,
    (stored).unknown_content as rows_of_unknown_content,
    (stored).revenue_of_unknown_content as revenue_of_unknown_content,
    (stored).without_session as rows_without_session,
    (stored).negative as rows_of_negative_revenue,
    (stored).revenue_negative as revenue_negative,
    (marts).one_sided as contents_on_one_side,
    case when source in ('ga4_events') then (marts).one_sided_amount end as pageviews_without_ads,
    case when source in ('gam_delivery') then (marts).one_sided_amount end as revenue_without_events,
    (file_check).rows_in_files as rows_in_files,
    (file_check).rows_duplicate_same_file as rows_duplicate_same_file,
    (file_check).rows_duplicate_later_file as rows_duplicate_later_file,
    (file_check).rows_conflicting_same_file as rows_conflicting_same_file,
    (file_check).rows_not_loaded as rows_not_loaded,
    (file_check).rows_outside as rows_outside,
    (file_check).rows_lost as rows_lost,
    (file_check).rows_changed as rows_changed,
    (file_check).rows_in_no_file as rows_in_no_file,
    (file_check).rows_late as rows_late,
    (file_check).revenue_in_files as revenue_in_files,
    (file_check).revenue_in_duplicate_rows as revenue_in_duplicate_rows,
    (file_check).revenue_missing as revenue_missing,
    (file_check).revenue_in_no_file as revenue_in_no_file,
    (file_check).checked_at as files_checked_at,
    (reads).load_id as last_load_id,
    (reads).finished_at as last_loaded_at,
    rows_forgotten,
    rows_superseded,
    coalesce((earlier).replaced, 0) as rows_replaced,
    coalesce((earlier).withdrawn, 0) as rows_withdrawn
from counted;

comment on view gold.reconciliation is
'One row per source and day: rows read, where they are, what bronze and gold amount to; from rows_in_files on: of the last reconcile.';
comment on column gold.reconciliation.source is 'The source.';
comment on column gold.reconciliation.day is 'Local day of the rows; a reject without one goes with its file; NULL for articles without.';
comment on column gold.reconciliation.rows_read is 'Rows the last load read (articles: of the files): all those below, minus not in last load.';
comment on column gold.reconciliation.rows_duplicate is 'Rows that repeat another.';
comment on column gold.reconciliation.rows_in_bronze is 'Rows of bronze that count.';
comment on column gold.reconciliation.rows_conflicting is 'Rows with the hash of a bronze row and other numbers, for a decision.';
comment on column gold.reconciliation.rows_rejected is 'Rejected rows that wait.';
comment on column gold.reconciliation.rows_not_in_last_load is 'Rows the warehouse has beyond those the last load read: a file went away.';
comment on column gold.reconciliation.rejects is 'Rejected rows by reason.';
comment on column gold.reconciliation."pageviews_in_bronze" is 'Number of page_view events, in bronze.';
comment on column gold.reconciliation."pageviews_in_gold" is 'Number of page_view events, in the mart.';
comment on column gold.reconciliation."user_engagements_in_bronze" is 'Number of user_engagement events, in bronze.';
comment on column gold.reconciliation."user_engagements_in_gold" is 'Number of user_engagement events, in the mart.';
comment on column gold.reconciliation."impressions_in_bronze" is 'Ad impressions, in bronze.';
comment on column gold.reconciliation."impressions_in_gold" is 'Ad impressions, in the mart.';
comment on column gold.reconciliation."clicks_in_bronze" is 'Ad clicks, in bronze.';
comment on column gold.reconciliation."clicks_in_gold" is 'Ad clicks, in the mart.';
comment on column gold.reconciliation."revenue_in_bronze" is 'Revenue in US dollars, in bronze.';
comment on column gold.reconciliation."revenue_in_gold" is 'Revenue in US dollars, in the mart.';
comment on column gold.reconciliation.revenue_difference is 'Gold minus bronze: 0, or a refresh is due, or restatements are applied.';
comment on column gold.reconciliation.revenue_in_conflicts is 'Revenue of the conflicting rows.';
comment on column gold.reconciliation.revenue_change_in_conflicts is 'The same minus what counts in their place.';
comment on column gold.reconciliation.revenue_in_rejects is 'Revenue still readable in rejected rows.';
comment on column gold.reconciliation.rows_without_content is 'Rows in bronze without content: (not set) in gold.';
comment on column gold.reconciliation.revenue_without_content is 'Their revenue.';
comment on column gold.reconciliation.rows_of_unknown_content is 'Rows in bronze whose content the CMS does not know.';
comment on column gold.reconciliation.revenue_of_unknown_content is 'Their revenue.';
comment on column gold.reconciliation.rows_without_session is 'Events without user or session: they count no session.';
comment on column gold.reconciliation.rows_of_negative_revenue is 'Ad rows that take revenue back.';
comment on column gold.reconciliation.revenue_negative is 'What they take back.';
comment on column gold.reconciliation.contents_on_one_side is 'Contents with events and no ads, or with ads and no events.';
comment on column gold.reconciliation.pageviews_without_ads is 'Pageviews of contents without ads that day.';
comment on column gold.reconciliation.revenue_without_events is 'Revenue of contents without events that day.';
comment on column gold.reconciliation.rows_in_files is 'Rows in all files when they were last reconciled.';
comment on column gold.reconciliation.rows_duplicate_same_file is 'Rows that repeat a row of the same file.';
comment on column gold.reconciliation.rows_duplicate_later_file is 'Rows that repeat a row of an earlier file.';
comment on column gold.reconciliation.rows_conflicting_same_file is 'Conflicting rows whose other version stands in the same file.';
comment on column gold.reconciliation.rows_not_loaded is 'Rows that no load has taken.';
comment on column gold.reconciliation.rows_outside is 'Rows that no load takes.';
comment on column gold.reconciliation.rows_lost is 'Rows that were loaded and are gone from bronze.';
comment on column gold.reconciliation.rows_changed is 'Rows that were loaded and changed in bronze.';
comment on column gold.reconciliation.rows_in_no_file is 'Rows of bronze that stand in no file.';
comment on column gold.reconciliation.rows_late is 'Distinct rows by the days between their own day and their first delivery.';
comment on column gold.reconciliation.revenue_in_files is 'Revenue of all rows in the files.';
comment on column gold.reconciliation.revenue_in_duplicate_rows is 'Of this, in rows that repeat another.';
comment on column gold.reconciliation.revenue_missing is 'Of this, not in gold although it should be.';
comment on column gold.reconciliation.revenue_in_no_file is 'Revenue in bronze that stands in no file.';
comment on column gold.reconciliation.files_checked_at is 'When the files were reconciled; NULL if never.';
comment on column gold.reconciliation.rows_forgotten is 'Rows of persons who were forgotten.';
comment on column gold.reconciliation.last_load_id is 'The last load of the day.';
comment on column gold.reconciliation.last_loaded_at is 'When it ended.';
comment on column gold.reconciliation.rows_superseded is 'Of the rows read, those in whose place rows of a newer file count.';
comment on column gold.reconciliation.rows_replaced is 'Rows that bronze keeps and no longer counts: the newest delivery of their day has another version.';
comment on column gold.reconciliation.rows_withdrawn is 'Rows that bronze keeps and no longer counts: the newest delivery of their day does not have them.';

