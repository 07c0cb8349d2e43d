-- The counts of the ledger and of the reconciliation get the words people know: what was equal is a duplicate, what was known
-- is already loaded. A column that was renamed keeps its rows, its grants and the views that read it.

do $$
declare
    renamed record;
begin
    for renamed in
        select
            attribute.attrelid::regclass as relation,
            words.old,
            words.new
        from (values
            ('ops.loads', 'rows_equal', 'rows_duplicate'),
            ('ops.loads', 'rows_known', 'rows_already_loaded'),
            ('ops.load_days', 'rows_equal', 'rows_duplicate'),
            ('ops.load_days', 'rows_known', 'rows_already_loaded'),
            ('ops.file_checks', 'rows_equal_same_file', 'rows_duplicate_same_file'),
            ('ops.file_checks', 'rows_equal_later_file', 'rows_duplicate_later_file'),
            ('ops.file_checks', 'revenue_in_equal_rows', 'revenue_in_duplicate_rows'),
            ('gold.reconciliation', 'rows_equal', 'rows_duplicate'),
            ('gold.reconciliation', 'rows_equal_same_file', 'rows_duplicate_same_file'),
            ('gold.reconciliation', 'rows_equal_later_file', 'rows_duplicate_later_file'),
            ('gold.reconciliation', 'revenue_in_equal_rows', 'revenue_in_duplicate_rows')
        ) as words (relation, old, new)
        inner join pg_attribute as attribute
            on to_regclass(words.relation) = attribute.attrelid and words.old = attribute.attname
    loop
        execute format('alter table %s rename column %I to %I', renamed.relation, renamed.old, renamed.new);
    end loop;
end $$;

-- Which declarations a database was completed for is kept in ops.declarations now.
delete from ops.settings
where name = 'schema';
