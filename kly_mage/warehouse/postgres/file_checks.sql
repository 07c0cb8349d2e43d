-- What only the files know about each source and day: the last run of `reconcile` leaves it here, gold.reconciliation shows it
-- beside the ledger, bronze and gold. Safe to run again.

create table if not exists ops.file_checks (
    source text not null,
    day date,
    rows_in_files bigint not null,
    rows_duplicate_same_file bigint not null,
    rows_duplicate_later_file bigint not null,
    rows_conflicting_same_file bigint not null,
    rows_not_loaded bigint not null,
    rows_outside bigint not null,
    rows_lost bigint not null,
    rows_changed bigint not null,
    rows_in_no_file bigint not null,
    rows_late jsonb not null,
    revenue_in_files numeric,
    revenue_in_duplicate_rows numeric,
    revenue_missing numeric,
    revenue_in_no_file numeric,
    checked_at timestamptz not null,
    unique nulls not distinct (source, day)
);
alter table ops.file_checks add column if not exists rows_forgotten bigint not null default 0;
comment on table ops.file_checks is 'One row per source and day: what the last reconcile found when it read the files again.';
comment on column ops.file_checks.source is 'The source.';
comment on column ops.file_checks.day is 'Local day of the rows; NULL for rows without one.';
comment on column ops.file_checks.rows_in_files is 'Rows of that day in all files, rejected ones included.';
comment on column ops.file_checks.rows_duplicate_same_file is 'Rows that repeat a row of the same file.';
comment on column ops.file_checks.rows_duplicate_later_file is 'Rows that repeat a row of an earlier file.';
comment on column ops.file_checks.rows_conflicting_same_file is 'Conflicting rows whose other version stands in the same file.';
comment on column ops.file_checks.rows_not_loaded is 'Rows that no load has taken so far.';
comment on column ops.file_checks.rows_outside is 'Rows that no load takes: their day is not one their file may hold.';
comment on column ops.file_checks.rows_forgotten is 'Rows of persons who were forgotten: no load takes them.';
comment on column ops.file_checks.rows_lost is 'Rows that were loaded and are gone from bronze.';
comment on column ops.file_checks.rows_changed is 'Rows that were loaded and changed in bronze afterwards.';
comment on column ops.file_checks.rows_in_no_file is 'Rows of bronze that stand in no file (any more).';
comment on column ops.file_checks.rows_late is 'Distinct rows by how many days after their own day they were first delivered.';
comment on column ops.file_checks.revenue_in_files is 'Revenue of all rows in the files, as far as it is readable.';
comment on column ops.file_checks.revenue_in_duplicate_rows is 'Of this, the revenue of rows that repeat another.';
comment on column ops.file_checks.revenue_missing is 'Of this, the revenue of rows not loaded, outside, lost or changed.';
comment on column ops.file_checks.revenue_in_no_file is 'Revenue in bronze that stands in no file.';
comment on column ops.file_checks.checked_at is 'When the files were read.';

create or replace function ops.readable_money(value text) returns numeric
immutable strict parallel safe
language sql
return (
    select amount
    from (
        select case
            when value ~ '^[+-]?([0-9]{1,40}([.][0-9]{0,40})?|[.][0-9]{1,40})([eE][+-]?[0-9]{1,2})?$' then value::numeric
        end as amount
    ) as spelled
    where abs(amount) < 1e18 and amount = round(amount, 12)
);
comment on function ops.readable_money is 'The amount a text spells, NULL if it spells none.';
