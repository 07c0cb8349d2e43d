"""Page RPM by section: revenue per 1,000 pageviews over everything in gold.daily_summary."""

from kly_mage.mage.charts import complete_decorators, frame

complete_decorators()
if 'data_source' not in globals():
    from mage_ai.data_preparation.decorators import data_source


@data_source
def page_rpm_by_section(*args, **kwargs):
    """One row per section with pageviews."""
    return frame('page_rpm_by_section')
