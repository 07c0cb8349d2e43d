"""What became of the rows that were read, by source, over all finished loads."""

from kly_mage.mage.charts import complete_decorators, frame

complete_decorators()
if 'data_source' not in globals():
    from mage_ai.data_preparation.decorators import data_source


@data_source
def rows_by_outcome(*args, **kwargs):
    """One row per source, one column per outcome."""
    return frame("""
        select
            source,
            sum(rows_new) as new,
            sum(rows_already_loaded) as already_loaded,
            sum(rows_duplicate) as duplicate,
            sum(rows_rejected) as rejected,
            sum(rows_conflicting) as conflicting
        from ops.loads
        where status = 'done'
        group by source
        order by source
    """)
