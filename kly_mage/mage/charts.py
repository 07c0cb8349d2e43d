"""What the charts of the editor's side pane stand on, and that they are there when a page is opened."""

import asyncio
import json
import logging
from decimal import Decimal
from typing import Any

from kly_mage.common.errors import LOAD, KlyError, NotBuiltError, PipelineError
from kly_mage.common.settings import load_settings
from kly_mage.warehouse.choice import warehouse

logger = logging.getLogger('kly_mage')

_NOTHING = f'nothing to draw yet: run the blocks of the pipeline, from the first on, or {LOAD}'


def complete_decorators() -> None:
    """Give Mage 0.9.80 the two decorators that it looks for when a chart runs and does not have."""
    from mage_ai.data_preparation import decorators

    for name in ('chart', 'data_source'):
        if not hasattr(decorators, name):
            setattr(decorators, name, lambda function: function)


def frame(name: str) -> Any:
    """The rows of a chart, the query of its name, as a pandas frame for Mage: numbers are floats, all that its charts know.

    Raises:
        PipelineError: there is nothing to draw yet.
    """
    import pandas as pd  # type: ignore[import-untyped]  # Mage brings it; half a second that only charts pay

    try:
        found = warehouse(load_settings()).reader().query(name, {})
    except NotBuiltError as error:
        raise PipelineError(_NOTHING) from error
    if not found.rows:
        raise PipelineError(_NOTHING)
    rows = [[float(v) if isinstance(v, Decimal | int) else v for v in row] for row in found.rows]
    return pd.DataFrame(rows, columns=found.columns)


def draw_on_opening() -> None:
    """A page that is opened shows its charts: Mage keeps nothing of what a chart has drawn, and waits for its button.

    Adds to ``mage_ai/data_preparation/models/widget/__init__.py: Widget``, what its ``to_dict_async`` says of outputs.
    """
    from mage_ai.data_preparation.models.widget import Widget

    to_dict = Widget.to_dict_async

    async def drawn(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = await to_dict(self, *args, **kwargs)
        if kwargs.get('include_outputs') and f"return frame('{self.uuid}')\n" in (found.get('content') or ''):
            found['outputs'] = await asyncio.get_running_loop().run_in_executor(None, outputs, self)
        return found

    Widget.to_dict_async = drawn


def outputs(widget: Any) -> list[dict[str, str]]:
    """What Mage's page draws a chart from, as its button would have it; nothing where there is nothing to draw yet.

    Args:
        widget: Mage's, of a chart whose code is what the project has for it: other code runs in a kernel only.
    """
    asked = widget.get_chart_configuration_settings()
    try:
        found = widget.post_process_variables({}, data_source_output=frame(widget.uuid), **asked)
    except KlyError as error:
        logger.debug('%s is not drawn: %s', widget.uuid, error)
        return []
    values = {name: value.tolist() if hasattr(value, 'tolist') else value for name, value in found.items()}
    # As a kernel says it. The page takes the escapes off quotes before it reads that: names have theirs in another spelling.
    said = json.dumps(values).replace('\\\\', '\\u005c').replace('\\"', '\\u0022')
    return [{'type': 'text', 'variable_uuid': widget.uuid, 'text_data': json.dumps({'data': [f"'{said}'"]})}]
