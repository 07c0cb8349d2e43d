"""Distinct ad deliveries with their row hash."""

from kly_mage.loads.steps import hash_rows

if 'transformer' not in globals():
    from mage_ai.data_preparation.decorators import test, transformer


@transformer
def hash_gam_delivery(rows, *args, **kwargs):
    """Each distinct row once, with ``_hashrow``; ``_duplicate_rows`` counts the rows it stands for besides itself."""
    return hash_rows(rows, 'gam_delivery')


@test
def test_usable_rows_have_a_hash(rows, *args):
    """Exactly the rejected rows have no hash."""
    assert (rows['_hashrow'].isna() == rows['_reject'].notna()).all(), 'a usable row without hash, or the reverse'
