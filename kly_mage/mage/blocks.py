"""What an export block calls last, whatever runs it: the editor, a run, ``mage run`` or the command line."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from kly_mage.common.records import plain
from kly_mage.mage import alerts, patches


def tell(load: dict[str, Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Say what a load did (``alerts.tell``); gives the block's output.

    On the command line that is the load as it is. Mage keeps and shows values of JSON: of a decimal it shows the name of
    its type, and a None beside one it cannot read again (``deserialize_complex``), which fails the blocks that follow. So
    money is text with all its digits there, without zeros behind them, and what is not known is left out.

    ``mage run`` reads no line of the project before its blocks: what comes after an export, the marts, runs corrected.
    """
    patches.correct_run()
    alerts.tell(load, kwargs)
    if 'line' not in load:
        return load
    return {name: plain(v) if isinstance(v, Decimal) else v for name, v in load.items() if v is not None}
