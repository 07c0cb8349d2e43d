"""``landing.toml`` in the landing zone: which files are a publisher's own, and what their columns are.

Without that file nothing of mappings is imported.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from kly_mage.common.errors import LandingError
from kly_mage.declared.base import Source
from kly_mage.landing import inside

if TYPE_CHECKING:
    from kly_mage.declared.mapping import Mapping

MAPPINGS = 'landing.toml'
MAX_BYTES = 1 << 20


def mappings(path: Path) -> tuple[Mapping, ...]:
    """All mappings of a file; none if it is not there.

    Raises:
        LandingError: it is no TOML, or says what no mapping may say: names the file, line and column.
    """
    if not path.exists():
        return ()
    from kly_mage.landing import mapping_text

    try:
        return mapping_text.read(inside.read(path.parent, path.name, MAX_BYTES).decode(), path.name)
    except UnicodeDecodeError as error:
        raise LandingError(f'{path.name}: is not UTF-8 (byte {error.start + 1})') from None


def mapping_of(source: Source, name: str, given: Iterable[Mapping]) -> Mapping | None:
    """The first mapping whose source and pattern a file's name fits."""
    last = name.rpartition('/')[2]
    return next((m for m in given if m.source == source.name and fnmatch.fnmatchcase(last, m.files)), None)
