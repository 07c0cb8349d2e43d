-- What became of the rows that were read, by source, over all finished loads.
select
    source,
    sum(rows_new) as new,
    sum(rows_already_loaded) as already_loaded,
    sum(rows_duplicate) as duplicate,
    sum(rows_rejected) as rejected,
    sum(rows_conflicting) as conflicting,
    sum(rows_superseded) as superseded,
    sum(rows_outside) as outside
from ops.loads
where status = 'done'
group by source
order by source
