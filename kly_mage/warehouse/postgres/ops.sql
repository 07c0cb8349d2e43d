-- The schemas, and what the warehouse keeps besides the sources' own tables. Safe to run again.

create schema if not exists bronze;
create schema if not exists gold;
create schema if not exists ops;

comment on schema bronze is 'Distinct source rows, append-only, partitioned by the day of their ingestion.';
comment on schema gold is 'What people read: marts per day and article, and their join.';
comment on schema ops is 'What the pipeline did: loads, files, watermarks.';

create table if not exists ops.settings (
    name text primary key,
    value text not null
);
comment on table ops.settings is 'One row per fact every load has to agree on.';
comment on column ops.settings.name is
'timezone (in which a day is a day), ga4_article (where an exported event names its article), person_key (of ops.forgotten).';
comment on column ops.settings.value is 'Its value, fixed by the first load that it is for.';

create table if not exists ops.schema_version (
    version int primary key,
    name text not null,
    applied_at timestamptz not null default clock_timestamp(),
    applied_by text not null
);
comment on table ops.schema_version is 'One row per migration this database has behind it; code that knows fewer is refused.';
comment on column ops.schema_version.version is 'Its number; the highest is the version of the schema.';
comment on column ops.schema_version.name is 'What it does.';
comment on column ops.schema_version.applied_at is 'When it ran; a database made later begins with all of them.';
comment on column ops.schema_version.applied_by is 'The version of kly_mage that ran it.';

create table if not exists ops.declarations (
    number bigint generated always as identity primary key,
    fingerprint text not null unique,
    applied_at timestamptz not null default clock_timestamp(),
    applied_by text not null
);
comment on table ops.declarations is 'One row per state of declarations and SQL files this database was completed for.';
comment on column ops.declarations.number is 'Their order; the last is in force, and code with an earlier one is refused.';
comment on column ops.declarations.fingerprint is 'SHA-256 of the statements they give.';
comment on column ops.declarations.applied_at is 'When the database was completed for it.';
comment on column ops.declarations.applied_by is 'The version of kly_mage that did it.';

create table if not exists ops.hash_rules (
    source text primary key,
    columns text[],
    version text not null,
    applied_at timestamptz not null default clock_timestamp(),
    applied_by text not null
);
comment on table ops.hash_rules is 'One row per source: what the hashes of its rows are over. A load under another rule is refused.';
comment on column ops.hash_rules.source is 'The source.';
comment on column ops.hash_rules.columns is 'The columns, in the order of their names; NULL for all, undeclared ones included.';
comment on column ops.hash_rules.version is 'The version of the canonical text, see kly_mage/rows/rowhash.py.';
comment on column ops.hash_rules.applied_at is 'When the rows were hashed by this rule.';
comment on column ops.hash_rules.applied_by is 'The version of kly_mage that did it.';

create table if not exists ops.late_columns (
    source text not null,
    column_name text not null,
    since timestamptz not null,
    primary key (source, column_name)
);
comment on table ops.late_columns is 'One row per value column that was declared when its source had rows already.';
comment on column ops.late_columns.source is 'The source.';
comment on column ops.late_columns.column_name is 'The column.';
comment on column ops.late_columns.since is 'Rows with an earlier _updated_at could say nothing there: no value is no contradiction.';

create table if not exists ops.loads (
    load_id bigint generated always as identity primary key,
    source text not null,
    start_day date not null,
    end_day date not null,
    files jsonb not null default '[]',
    status text not null default 'running' check (status in ('running', 'done', 'failed', 'withdrawn', 'unload')),
    rows_read bigint not null default 0,
    rows_distinct bigint not null default 0,
    rows_duplicate bigint not null default 0,
    rows_new bigint not null default 0,
    rows_already_loaded bigint not null default 0,
    rows_rejected bigint not null default 0,
    rows_conflicting bigint not null default 0,
    money_read numeric,
    started_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz,
    started_by text not null,
    pipeline_run text,
    error text
);
alter table ops.loads add column if not exists rows_removed bigint not null default 0;
alter table ops.loads add column if not exists left_out jsonb not null default '{}';
alter table ops.loads add column if not exists rows_outside bigint not null default 0;
alter table ops.loads add column if not exists rows_forgotten bigint not null default 0;
alter table ops.loads add column if not exists rejects_accepted bigint not null default 0;
alter table ops.loads add column if not exists conflicts_accepted bigint not null default 0;
alter table ops.loads add column if not exists rows_superseded bigint not null default 0;
alter table ops.loads add column if not exists rows_replaced bigint not null default 0;
alter table ops.loads add column if not exists rows_withdrawn bigint not null default 0;
alter table ops.loads add column if not exists rows_returned bigint not null default 0;
alter table ops.loads add column if not exists rows_unchanged bigint not null default 0;
alter table ops.loads add column if not exists rows_restated bigint not null default 0;
create index if not exists loads_source_idx on ops.loads (source, load_id);
comment on table ops.loads is 'One row per load of one source. rows_read is the sum of all places, new to unchanged.';
comment on column ops.loads.load_id is 'The load; _load_id in bronze.';
comment on column ops.loads.source is 'The source loaded.';
comment on column ops.loads.start_day is 'First day asked for.';
comment on column ops.loads.end_day is 'Last day asked for, included.';
comment on column ops.loads.files is 'Files looked at: name, size in bytes, modified_at. When it is done, without those left out.';
comment on column ops.loads.left_out is 'Files that could not be used, with the reason; the days they may hold are incomplete.';
comment on column ops.loads.status is 'running (without a process: it died), done, failed, withdrawn (taken out since), unload (took rows out).';
comment on column ops.loads.rows_read is 'Rows of the files that belong to the days asked for, and those outside.';
comment on column ops.loads.rows_distinct is 'Of these, distinct usable rows: new, already loaded, unchanged, conflicting or restated.';
comment on column ops.loads.rows_duplicate is 'Rows equal to one this load inserted, or to one in the same slice of a file.';
comment on column ops.loads.rows_new is 'Rows inserted into bronze.';
comment on column ops.loads.rows_removed is 'Of these, rows that repair, unload or forget have taken out since; of an unload, the rows it took out.';
comment on column ops.loads.rows_already_loaded is 'Rows an earlier load had inserted already; a copy of one in another slice too.';
comment on column ops.loads.rows_rejected is 'Rows that cannot be used; they stand in bronze.rejects.';
comment on column ops.loads.rows_conflicting is 'Rows with the hash of another row but other numbers; they stand in the conflicts table.';
comment on column ops.loads.rows_restated is 'Rows with other numbers for a row of bronze, of a newer file: they count in its place.';
comment on column ops.loads.rows_outside is 'Rows that no load takes: their day is not one their file may hold; ops.load_outside names them.';
comment on column ops.loads.rows_forgotten is 'Rows of persons who were forgotten before: no load takes them; see ops.forgotten.';
comment on column ops.loads.rows_superseded is 'Rows in whose place those of a newer file count: not inserted.';
comment on column ops.loads.rows_unchanged is
'Distinct usable rows that earlier loads had taken already, of files that have not changed and were not read.';
comment on column ops.loads.rows_replaced is 'Rows of bronze in whose place another version counts now, which a newer delivery has.';
comment on column ops.loads.rows_withdrawn is 'Rows of bronze that count no longer: the newest delivery of their day does not have them.';
comment on column ops.loads.rows_returned is 'Rows of bronze that count again, because they were delivered again.';
comment on column ops.loads.rejects_accepted is 'Of the rejected rows, those that somebody had accepted.';
comment on column ops.loads.conflicts_accepted is 'Of the conflicting rows, those that somebody had accepted.';
comment on column ops.loads.money_read is 'Sum of the money in the usable rows read, equal rows included; NULL for a source without money.';
comment on column ops.loads.started_at is 'When the load began.';
comment on column ops.loads.finished_at is 'When it ended; NULL while it runs and for ever if it died.';
comment on column ops.loads.started_by is 'The Mage trigger or the command that asked for it.';
comment on column ops.loads.pipeline_run is 'The Mage pipeline run, if there is one.';
comment on column ops.loads.error is 'Why it failed.';

create table if not exists ops.load_days (
    load_id bigint not null references ops.loads (load_id),
    day date not null,
    rows_read bigint not null,
    rows_duplicate bigint not null,
    rows_new bigint not null,
    rows_already_loaded bigint not null,
    rows_rejected bigint not null,
    rows_conflicting bigint not null,
    primary key (load_id, day)
);
alter table ops.load_days add column if not exists rows_forgotten bigint not null default 0;
alter table ops.load_days add column if not exists rows_superseded bigint not null default 0;
alter table ops.load_days add column if not exists rows_unchanged bigint not null default 0;
alter table ops.load_days add column if not exists rows_restated bigint not null default 0;
create index if not exists load_days_day_idx on ops.load_days (day);
comment on table ops.load_days is 'One row per load and day of the rows'' own timestamp.';
comment on column ops.load_days.load_id is 'The load.';
comment on column ops.load_days.day is 'Local day of the rows.';
comment on column ops.load_days.rows_read is 'As in ops.loads, for this day; rows without a readable day are in no day.';
comment on column ops.load_days.rows_duplicate is 'As in ops.loads.';
comment on column ops.load_days.rows_new is 'As in ops.loads.';
comment on column ops.load_days.rows_already_loaded is 'As in ops.loads.';
comment on column ops.load_days.rows_rejected is 'As in ops.loads.';
comment on column ops.load_days.rows_conflicting is 'As in ops.loads.';
comment on column ops.load_days.rows_forgotten is 'As in ops.loads.';
comment on column ops.load_days.rows_superseded is 'As in ops.loads.';
comment on column ops.load_days.rows_unchanged is 'As in ops.loads.';
comment on column ops.load_days.rows_restated is 'As in ops.loads.';

create table if not exists ops.load_outside (
    load_id bigint not null references ops.loads (load_id),
    file text not null,
    day date not null,
    rows bigint not null,
    money numeric,
    primary key (load_id, file, day)
);
comment on table ops.load_outside is 'One row per load, file and day of rows that are not of a day the file may hold: no load takes them.';
comment on column ops.load_outside.load_id is 'The load; it was asked for the day in the name of the file.';
comment on column ops.load_outside.file is 'The file.';
comment on column ops.load_outside.day is 'Local day of the rows.';
comment on column ops.load_outside.rows is 'How many.';
comment on column ops.load_outside.money is 'Their money, as far as it can be read; NULL for a source without.';

create table if not exists ops.load_rules (
    load_id bigint not null references ops.loads (load_id),
    rule text not null,
    rows_broken bigint not null,
    primary key (load_id, rule)
);
comment on table ops.load_rules is 'One row per load and data quality rule that rows it inserted break.';
comment on column ops.load_rules.load_id is 'The load.';
comment on column ops.load_rules.rule is 'What should hold, as the declaration of the source says it.';
comment on column ops.load_rules.rows_broken is 'New rows for which it does not hold.';

create table if not exists ops.files (
    source text not null,
    file text not null,
    size bigint not null,
    modified_at timestamptz not null,
    load_id bigint not null references ops.loads (load_id),
    primary key (source, file)
);
alter table ops.files add column if not exists content text;
alter table ops.files add column if not exists held jsonb;
alter table ops.files add column if not exists registry oid;
comment on table ops.files is 'One row per file, as the last load that read it saw it.';
comment on column ops.files.source is 'The source it belongs to.';
comment on column ops.files.file is 'Its name relative to the landing zone.';
comment on column ops.files.size is 'Bytes.';
comment on column ops.files.modified_at is 'When the file was last changed before that load.';
comment on column ops.files.load_id is 'The last load that read it, or found it unchanged.';
comment on column ops.files.content is
'Fingerprint of its bytes, and of all else that reading depends on; NULL if the next load is to read it whatever it holds.';
comment on column ops.files.held is
'What became of its rows: by day of those that loads have taken, all days seen in it, and the rows outside.';
comment on column ops.files.registry is 'File node of the registry of hashes that has its rows: one that was emptied is another.';

create table if not exists ops.file_days (
    source text not null,
    file text not null,
    day date,
    rows bigint not null,
    checksum numeric not null,
    money numeric,
    load_id bigint not null references ops.loads (load_id),
    rows_now bigint,
    money_now numeric,
    changed_by bigint references ops.loads (load_id),
    unique nulls not distinct (source, file, day)
);
comment on table ops.file_days is 'One row per file and day of its rows: what a load has loaded of it, and whether the file holds that still.';
comment on column ops.file_days.source is 'The source.';
comment on column ops.file_days.file is 'The file.';
comment on column ops.file_days.day is 'Local day of the rows; NULL for a file of articles, which is noted as a whole.';
comment on column ops.file_days.rows is 'Usable rows, duplicates included.';
comment on column ops.file_days.checksum is
'Sum over their hashes and counts modulo 2^64, the same in any order; -1 until the next load where rows were forgotten.';
comment on column ops.file_days.money is 'Sum of their money; NULL for a source without.';
comment on column ops.file_days.load_id is 'The load that read them so.';
comment on column ops.file_days.rows_now is 'Rows that a later load found there instead, some of the others gone or changed; NULL if none did.';
comment on column ops.file_days.money_now is 'Their money.';
comment on column ops.file_days.changed_by is 'The load that found it so; NULL once a repair has made bronze what the file says.';

create table if not exists ops.forgotten (
    source text not null,
    person text not null,
    forgotten_at timestamptz not null default clock_timestamp(),
    forgotten_by text not null,
    rows_removed bigint not null,
    rejects_removed bigint not null,
    primary key (source, person)
);
comment on table ops.forgotten is 'One row per source and person who was forgotten: loads leave out what files still hold of them.';
comment on column ops.forgotten.source is 'The source.';
comment on column ops.forgotten.person is 'SHA-256 over ops.settings.person_key and the id; the id itself is kept nowhere.';
comment on column ops.forgotten.forgotten_at is 'When.';
comment on column ops.forgotten.forgotten_by is 'Who did it.';
comment on column ops.forgotten.rows_removed is 'Rows of bronze that went.';
comment on column ops.forgotten.rejects_removed is 'Rejects that went.';

create table if not exists ops.accepted_days (
    source text not null,
    finding text not null,
    day date not null,
    rows bigint,
    usual bigint,
    accepted_at timestamptz not null default clock_timestamp(),
    accepted_by text not null,
    accepted_because text not null,
    primary key (source, finding, day)
);
comment on table ops.accepted_days is 'One row per source, finding and day that is out of the ordinary and, somebody has said, right.';
comment on column ops.accepted_days.source is 'The source.';
comment on column ops.accepted_days.finding is 'volume: far from the days around; freshness: nothing is newer.';
comment on column ops.accepted_days.day is 'The day; of freshness the newest.';
comment on column ops.accepted_days.rows is 'Distinct usable rows it had then; farther off it is asked about anew. NULL for any number.';
comment on column ops.accepted_days.usual is 'Rows of the days around it, then.';
comment on column ops.accepted_days.accepted_at is 'When somebody said that this needs no further look.';
comment on column ops.accepted_days.accepted_by is 'Who.';
comment on column ops.accepted_days.accepted_because is 'Why.';

create table if not exists ops.watermarks (
    mart text primary key,
    watermark timestamptz not null default '-infinity',
    refreshed_at timestamptz,
    built_from text
);
comment on table ops.watermarks is 'One row per mart: how far into bronze it has counted.';
comment on column ops.watermarks.mart is 'The mart, or bronze.cms_articles, which its loads move themselves.';
comment on column ops.watermarks.watermark is 'The newest _updated_at it has counted; loads stamp their rows beyond it.';
comment on column ops.watermarks.refreshed_at is 'When it moved last.';
comment on column ops.watermarks.built_from is 'For gold.daily_summary: the definition its rows follow; NULL if all are to be computed.';

create table if not exists bronze.rejects (
    source text not null,
    reject_id uuid not null,
    file text not null,
    line bigint not null,
    column_name text,
    value text,
    reason text not null,
    row jsonb not null,
    day date,
    load_id bigint not null,
    rejected_at timestamptz not null default clock_timestamp(),
    resolved_at timestamptz,
    primary key (source, reject_id)
);
alter table bronze.rejects add column if not exists file_day date;
alter table bronze.rejects add column if not exists taken_at timestamptz;
alter table bronze.rejects add column if not exists accepted_at timestamptz;
alter table bronze.rejects add column if not exists accepted_by text;
alter table bronze.rejects add column if not exists accepted_because text;
create index if not exists rejects_taken_idx on bronze.rejects (source) where taken_at is not null;
comment on table bronze.rejects is 'One row per line of a file that cannot be used, or per such file (line 0), however often it is read.';
comment on column bronze.rejects.source is 'The source.';
comment on column bronze.rejects.reject_id is 'Hash over file, line and what is wrong with it.';
comment on column bronze.rejects.file is 'The file.';
comment on column bronze.rejects.line is 'The line where the row begins, from 1 (the header); 0 for a file that was left out as a whole.';
comment on column bronze.rejects.column_name is 'The column that cannot be used; NULL if the row as a whole cannot.';
comment on column bronze.rejects.value is 'What stands there.';
comment on column bronze.rejects.reason is 'What is wrong with it.';
comment on column bronze.rejects.row is 'The whole row as text; for a file, its size in bytes and when it was changed.';
comment on column bronze.rejects.day is 'Local day of the row, if its timestamp can be read.';
comment on column bronze.rejects.file_day is 'The day in the file''s name; NULL if it holds none.';
comment on column bronze.rejects.load_id is 'The first load that met it.';
comment on column bronze.rejects.rejected_at is 'When that was.';
comment on column bronze.rejects.taken_at is 'When somebody said that a row held back because its line has no end is whole: loads take it since.';
comment on column bronze.rejects.accepted_at is 'When somebody said that it needs no further look; NULL while it waits.';
comment on column bronze.rejects.accepted_by is 'Who.';
comment on column bronze.rejects.accepted_because is 'Why.';
comment on column bronze.rejects.resolved_at is 'When a retry found the row usable; NULL while it waits.';
