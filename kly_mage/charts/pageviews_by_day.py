"""Pageviews by day."""

from kly_mage.mage.charts import complete_decorators, frame

complete_decorators()
if 'data_source' not in globals():
    from mage_ai.data_preparation.decorators import data_source


@data_source
def pageviews_by_day(*args, **kwargs):
    """One row per day of the last 31."""
    return frame('pageviews_by_day')
