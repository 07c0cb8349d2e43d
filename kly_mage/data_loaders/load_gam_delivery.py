"""The ad deliveries of the days asked for, as the landing zone has them."""

from kly_mage.loads.steps import read_days

if 'data_loader' not in globals():
    from mage_ai.data_preparation.decorators import data_loader, test


@data_loader
def load_gam_delivery(*args, **kwargs):
    """One row per line of the files: typed, or with ``_reject`` saying why it cannot be used."""
    return read_days('gam_delivery', kwargs)


@test
def test_every_row_is_located(rows, *args):
    """Every row knows the file and line it comes from, so that a reject can be found again."""
    assert rows[['_file', '_line']].notna().all(axis=None), 'rows without file or line'
