"""What an export block calls last, whatever runs it: the editor, a run, ``mage run`` or the command line."""

from collections.abc import Mapping
from typing import Any

from kly_mage.mage import alerts, patches


def tell(load: dict[str, Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Say what a load did; gives the load, the block's output. See ``alerts.tell``.

    ``mage run`` reads no line of the project before its blocks: what comes after an export, the marts, runs corrected.
    """
    patches.correct_run()
    return alerts.tell(load, kwargs)
