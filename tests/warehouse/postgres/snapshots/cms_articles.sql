create table if not exists bronze.cms_articles (
    "content_id" text not null,
    "site" text,
    "title" text,
    "author" text,
    "section" text,
    "publish_timestamp" timestamptz,
    "_partition_date" date,
    "_hashrow" uuid not null,
    "_created_at" timestamptz not null,
    "_updated_at" timestamptz not null,
    "_load_id" bigint not null
) partition by range (_updated_at);
alter table bronze.cms_articles add column if not exists "content_id" text;
alter table bronze.cms_articles add column if not exists "site" text;
alter table bronze.cms_articles add column if not exists "title" text;
alter table bronze.cms_articles add column if not exists "author" text;
alter table bronze.cms_articles add column if not exists "section" text;
alter table bronze.cms_articles add column if not exists "publish_timestamp" timestamptz;
alter table bronze.cms_articles add column if not exists "_partition_date" date;
alter table bronze.cms_articles add column if not exists "_hashrow" uuid;
alter table bronze.cms_articles add column if not exists "_created_at" timestamptz;
alter table bronze.cms_articles add column if not exists "_updated_at" timestamptz;
alter table bronze.cms_articles add column if not exists "_load_id" bigint;
create index if not exists cms_articles_updated_at_idx on bronze.cms_articles using brin (_updated_at) with (autosummarize = on);
create index if not exists cms_articles_content_id_idx on bronze.cms_articles (content_id);
comment on table bronze.cms_articles is 'One row per version of an article, as the CMS exported it. Append-only; partitioned by day of _updated_at (UTC).';
comment on column bronze.cms_articles."content_id" is 'The article; the same id in GA4 events and ad rows.';
comment on column bronze.cms_articles."site" is 'The site that published the article.';
comment on column bronze.cms_articles."title" is 'Headline of this version.';
comment on column bronze.cms_articles."author" is 'Author as the CMS spells the name.';
comment on column bronze.cms_articles."section" is 'Section of the site.';
comment on column bronze.cms_articles."publish_timestamp" is 'When the article was published; NULL if the CMS does not say.';
comment on column bronze.cms_articles."_partition_date" is 'Local day of the row''s own timestamp; NULL if it has none.';
comment on column bronze.cms_articles."_hashrow" is 'The row''s hash over canonical values. Columns: all columns; rule v1 of kly_mage/rows/rowhash.py.';
comment on column bronze.cms_articles."_created_at" is 'When the row was inserted, by the server''s clock.';
comment on column bronze.cms_articles."_updated_at" is 'Ingestion time: never behind the marts'' watermarks, so refreshes go by it.';
comment on column bronze.cms_articles."_load_id" is 'The load that inserted the row, see ops.loads.';
create table if not exists bronze.cms_articles_hashrow (
    "_hashrow" uuid primary key,
    "_updated_at" timestamptz not null,
    "_delivered_at" timestamptz not null,
    "_file" text collate "C" not null,
    "_line" bigint not null,
    "content_id" text
);
alter table bronze.cms_articles_hashrow add column if not exists "_delivered_at" timestamptz;
alter table bronze.cms_articles_hashrow add column if not exists "_file" text collate "C";
alter table bronze.cms_articles_hashrow add column if not exists "_line" bigint;
alter table bronze.cms_articles_hashrow add column if not exists "content_id" text;
create index if not exists cms_articles_hashrow_content_id_idx on bronze.cms_articles_hashrow (content_id);
comment on table bronze.cms_articles_hashrow is 'One row per hash in bronze.cms_articles: makes it unique across partitions.';
comment on column bronze.cms_articles_hashrow."_hashrow" is 'Hash of a row in bronze.';
comment on column bronze.cms_articles_hashrow."_updated_at" is 'Leads to the row: its _updated_at.';
comment on column bronze.cms_articles_hashrow."_delivered_at" is 'When the last row that delivered it was delivered, by its file; -infinity if unknown.';
comment on column bronze.cms_articles_hashrow."_file" is 'The file of the last row that delivered it; empty if it is unknown.';
comment on column bronze.cms_articles_hashrow."_line" is 'The line of the last row that delivered it; 0 if it is unknown.';
comment on column bronze.cms_articles_hashrow."content_id" is 'The article: its versions are found by it.';
