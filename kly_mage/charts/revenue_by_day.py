"""Revenue by day, in US dollars."""

from kly_mage.mage.charts import complete_decorators, frame

complete_decorators()
if 'data_source' not in globals():
    from mage_ai.data_preparation.decorators import data_source


@data_source
def revenue_by_day(*args, **kwargs):
    """One row per day of the last 31."""
    return frame('revenue_by_day')
