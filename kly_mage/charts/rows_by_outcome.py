"""What became of the rows that were read, by the day on which they were loaded."""

from kly_mage.mage.charts import complete_decorators, frame

complete_decorators()
if 'data_source' not in globals():
    from mage_ai.data_preparation.decorators import data_source


@data_source
def rows_by_outcome(*args, **kwargs):
    """One row per outcome that there is, of the last 31 days with loads."""
    return frame('rows_by_outcome')
