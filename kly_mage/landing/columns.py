"""Whether the columns of a file can be those of a table: the same question whatever the format is."""

import shlex
from collections import Counter
from collections.abc import Iterable

from kly_mage.common.redaction import redacted
from kly_mage.common.text import printable
from kly_mage.declared.base import Source

MAX_COLUMNS = 1_500  # of one file: PostgreSQL takes 1,600 in a table, ours and those of earlier files among them
_NAME_BYTES = 63  # of a name in PostgreSQL
_SYSTEM_COLUMNS = {'ctid', 'xmin', 'xmax', 'cmin', 'cmax', 'tableoid'}


def spelled(source: Source, names: Iterable[str]) -> dict[str, str]:
    """The names that are not spelled as they are declared, or have blanks around them, and how they are."""
    declared = {name.lower(): name for name in source.names}
    return {name: ours for name in names if (ours := declared.get(name.strip().lower(), name.strip())) != name}


def problem(source: Source, names: list[str], there: list[str], unmapped: str | None = None) -> str | None:
    """What is wrong with the columns of a file, in a sentence; None if nothing is.

    A required column is missing; there are too many; or a name is empty, there twice, too long, not printable, or one of
    ours or of PostgreSQL's.

    Args:
        names: of the frame's columns.
        there: of the file's; others, where a mapping lies between.
        unmapped: the file's name, where a mapping may be what it lacks.
    """
    if len(names) > MAX_COLUMNS:
        return f'has {len(names):,} columns: at most {MAX_COLUMNS:,} are possible'
    missing = [column.name for column in source.columns if column.required and column.name not in names]
    if missing:
        found = f'the file has {_told(there)}' if any(there) else 'line 1, the header, is empty'
        if unmapped and any(there):
            found += f'; if it is there by another name: python -m kly_mage inspect {shlex.quote(unmapped)} --mapping'
        return f'required column missing: {", ".join(missing)}; {found}'
    twice = sorted({name for name, times in [*Counter(there).items(), *Counter(names).items()] if times > 1})
    if twice:
        return f'names a column twice: {_told(twice)}'
    for name in names:
        if not name or len(name.encode()) > _NAME_BYTES or printable(name) != name:
            return (
                f'has an unusable column name {_told([name], 70)!r}: 1 to {_NAME_BYTES} bytes are possible, '
                'and no control characters'
            )
        if name.startswith('_'):
            return f'column {_told([name])}: names that begin with _ belong to the warehouse; rename it'
        if name.lower() in _SYSTEM_COLUMNS:
            return f'column {name}: PostgreSQL has a column of that name in every table; rename it'
    return None


def _told(names: Iterable[str], limit: int = 200) -> str:
    """Names of columns as part of a message: a file that is no table of ours may hold anything there."""
    return printable(redacted(', '.join(names)[: 4 * limit]), limit)
