-- Which delivery of an export's day is in force (deliveries.py). Safe to run again.

create table if not exists ops.deliveries (
    source text not null,
    file_day date not null,
    day date not null,
    kind text not null,
    rows bigint not null,
    checksum numeric not null,
    load_id bigint not null references ops.loads (load_id),
    primary key (source, file_day, day)
);
alter table ops.deliveries add column if not exists named_day date;
comment on table ops.deliveries is 'One row per day of an export and local day of its rows: the delivery that is in force for them.';
comment on column ops.deliveries.source is 'The source.';
comment on column ops.deliveries.file_day is 'The day of the export; that of the rows where a file holds several days whole.';
comment on column ops.deliveries.named_day is 'The day in the names of the files; NULL if it is file_day.';
comment on column ops.deliveries.day is 'Local day of the rows.';
comment on column ops.deliveries.kind is 'How the names of the files begin: files of an older kind count no longer.';
comment on column ops.deliveries.rows is 'Usable rows of its files, duplicates included.';
comment on column ops.deliveries.checksum is 'Sum over their hashes, as in ops.file_days: if it is the same, nothing is to be corrected.';
comment on column ops.deliveries.load_id is 'The load that read it first as it is.';
