"""New GA4 events into bronze.ga4_events."""

from kly_mage.loads.steps import export_new_rows
from kly_mage.loads.summary import without_place
from kly_mage.mage.blocks import tell

if 'data_exporter' not in globals():
    from mage_ai.data_preparation.decorators import data_exporter, test


@data_exporter
def export_ga4_events(rows, *args, **kwargs):
    """Insert the rows bronze does not have yet; the result and a line in the log say what became of every row."""
    return tell(export_new_rows(rows, 'ga4_events', kwargs), kwargs)


@test
def test_every_row_is_accounted_for(load, *args):
    """Every row that was read is new, or there already, or in one of the other places that the line names."""
    assert without_place(load) == 0, load
