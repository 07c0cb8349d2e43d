"""What the charts of the editor's side pane stand on."""

from decimal import Decimal
from typing import Any

from kly_mage.common.errors import NotBuiltError, PipelineError
from kly_mage.common.settings import load_settings
from kly_mage.warehouse.postgres.summary import chart

_NOTHING = 'nothing to draw yet: run the blocks of the pipeline first, or a backfill'


def complete_decorators() -> None:
    """Give Mage 0.9.80 the two decorators that it looks for when a chart runs and does not have."""
    from mage_ai.data_preparation import decorators

    for name in ('chart', 'data_source'):
        if not hasattr(decorators, name):
            setattr(decorators, name, lambda function: function)


def frame(name: str) -> Any:
    """The rows of a chart as the pandas frame Mage draws from; numbers as floats, which is all its charts know.

    Raises:
        PipelineError: there is nothing to draw yet.
    """
    import pandas as pd  # type: ignore[import-untyped]  # Mage brings it; half a second that only charts pay

    try:
        found = chart(load_settings(), name)
    except NotBuiltError as error:
        raise PipelineError(_NOTHING) from error
    if not found.rows:
        raise PipelineError(_NOTHING)
    rows = [[float(v) if isinstance(v, Decimal | int) else v for v in row] for row in found.rows]
    return pd.DataFrame(rows, columns=found.columns)
