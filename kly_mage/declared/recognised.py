"""Files that are known by the names of their columns: where declared columns come from, and what somebody adds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kly_mage.declared import mapping

Words = Mapping[str, tuple[str, ...]]
"""By declared column: the names that it may have in the file, the first that is there counts."""


def origins(words: Words, header: Collection[str], plain: Callable[[str], str] = str) -> dict[str, str]:
    """Which column of the file each declared one is; those that the file lacks are left out.

    Args:
        plain: a name as it is compared.
    """
    there = {plain(name): name for name in header}
    found = {
        ours: next((there[plain(name)] for name in names if plain(name) in there), None) for ours, names in words.items()
    }
    return {ours: name for ours, name in found.items() if name is not None}


def mapped(
    source: str, found: Mapping[str, str], options: Mapping[str, dict[str, Any]], own: mapping.Mapping | None
) -> mapping.Mapping:
    """The mapping of such a file.

    Args:
        found: as ``origins`` gives it.
        options: of single columns, beside where they come from.
        own: what somebody says of the file, which counts before that.
    """
    from kly_mage.declared import mapping

    columns = {
        name: mapping.ColumnMapping.model_validate({'from': origin} | options.get(name, {}))
        for name, origin in found.items()
    }
    own = own or mapping.Mapping(source=source)
    return own.model_copy(update={'columns': columns | own.columns})
