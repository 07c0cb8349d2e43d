"""Reports that begin with lines of title, parameters and dates: where their header is."""

import csv
import io
from collections.abc import Sequence

from kly_mage.declared import gam_ui
from kly_mage.landing.files import LandingFile

_MOST_LINES = 60


def header_below(file: LandingFile, text: str, signs: Sequence[str], is_whole: bool) -> tuple[list[str], str, str] | None:
    """A report's header, the sign between its fields, and the text above it; None if none is seen below the first line.

    It is the first line that has every column which the file's mapping names, or one of the columns that Ad Manager has.

    Args:
        text: how the file begins.
        is_whole: whether it is all of the file.
    """
    taken = file.mapping.taken if file.mapping else frozenset[str]()
    if 'ad unit' not in text.lower() and not (taken and all(name in text for name in taken)):
        return None  # most files: nothing is taken apart
    for sign in signs:
        lines = io.StringIO(text, newline='')
        rows = csv.reader(lines, delimiter=sign)
        for _ in range(_MOST_LINES):
            at, row = lines.tell(), next(rows, None)
            if row is None or (lines.tell() == len(text) and not is_whole):  # it may go on
                break
            if gam_ui.is_report(row) or (taken and taken <= set(row)):
                return (row, sign, text[:at]) if at else None
    return None
