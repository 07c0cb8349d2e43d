"""GA4's export as BigQuery writes JSON: one event per line. Other files of JSON lines are refused."""

import json
from collections.abc import Generator

from kly_mage.common.errors import LandingError
from kly_mage.common.timer import timed
from kly_mage.declared.base import Source
from kly_mage.landing import ga4_export
from kly_mage.landing.contents import unpacked
from kly_mage.landing.files import LandingFile
from kly_mage.landing.lines import blocks, lines_of
from kly_mage.landing.slices import Slice

SLICE_BYTES = 8 << 20  # what is read at once, and the longest line


def columns(file: LandingFile) -> list[str]:
    """The columns of the export, whichever of them the lines have: nulls are left out; see ``slices.Reader``."""
    with file.open() as packed:
        first = next(blocks(file, unpacked(file, packed), 1 << 20, SLICE_BYTES), b'').partition(b'\n')[0]
    if not first:
        return []
    try:
        event = json.loads(first)
    except (ValueError, RecursionError):  # lists within lists, a megabyte of them
        event = None
    if not isinstance(event, dict) or not ga4_export.is_export(event):
        raise LandingError(f"{file.name}: line 1 is no event of GA4's export, of which alone JSON is understood")
    return list(ga4_export.AS_TEXT.to_schema())


def slices(file: LandingFile, names: list[str], source: Source) -> Generator[Slice, None, None]:
    """The events, all single values as text; a line that is none is a reject; see ``slices.Reader``."""
    with file.open() as packed:
        for texts, lines in timed('read', lines_of(file, unpacked(file, packed), SLICE_BYTES, SLICE_BYTES)):
            events, is_wrong = ga4_export.decoded(texts, ga4_export.AS_TEXT)
            is_wrong |= events.is_null()
            rejects = ga4_export.rejected('line', texts.filter(is_wrong).to_frame(), lines.filter(is_wrong))
            yield Slice(events.filter(~is_wrong).struct.unnest(), lines.filter(~is_wrong), rejects)
        file.check(packed)


def is_empty(file: LandingFile) -> bool:
    """No byte; see ``slices.Reader``."""
    return file.size == 0
