"""What a file is taken for, before it is loaded: its columns, first rows, days, rejects, and a mapping to start from."""

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from difflib import get_close_matches
from pathlib import Path

import polars as pl

from kly_mage.declared import SOURCES
from kly_mage.declared.base import Source
from kly_mage.declared.units import EPOCHS
from kly_mage.landing import readers
from kly_mage.landing.files import LandingFile, kind_in_name
from kly_mage.rows import casting

FIRST_ROWS = 3
_FORMATS = ('%d.%m.%Y', '%Y%m%d', '%d.%m.%y', '%d.%m.%Y %H:%M', '%d.%m.%Y %H:%M:%S', '%b %d, %Y', '%d %b %Y', '%Y/%m/%d')
_MICROS_DIGITS = 16  # of a time of these years
_LIKE = 0.6  # of two names, by difflib's measure


@dataclass
class Inspection:
    """What was seen in one file.

    Attributes:
        columns: as the file has them; of GA4's export as they are flattened.
        made_of: of what, and how, its rows are made; None if they stand in it as they are.
        first: its first rows, typed and mapped; columns by name.
        days: rows per day; None for rows of no day.
        rows: all of them.
        rejects: rows that a load would reject, by column and reason.
        rejected: the line of the first reject per column and reason.
    """

    columns: list[str]
    made_of: str | None
    first: pl.DataFrame
    days: Counter[date | None] = field(default_factory=Counter)
    rows: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    rejected: dict[str, int] = field(default_factory=dict)


def inspect(source: Source, file: LandingFile, timezone: str) -> Inspection:
    """Read a whole file as a load of all its days would.

    Raises:
        LandingError: it cannot be used, as a load would say.
    """
    seen = Inspection(readers.file_columns(source, file), readers.made_of(source, file), pl.DataFrame())
    for frame in readers.read(source, [file], None, timezone=timezone, late_days=0):
        seen.rows += frame.height
        bad = pl.col('_reject').is_not_null()
        seen.days.update(dict(frame.filter(~bad).group_by('_partition_date').len().iter_rows()))
        for line, told in frame.filter(bad).select('_line', '_reject').iter_rows():
            reason = casting.reason_of(told)
            seen.rejects[reason] += 1
            seen.rejected.setdefault(reason, line)
        if seen.first.height < FIRST_ROWS:
            seen.first = pl.concat([seen.first, frame.filter(~bad).head(FIRST_ROWS - seen.first.height)], how='diagonal')
    return seen


def source_of(path: Path) -> Source | None:
    """Whose file it is by its folder or its name; None if they do not tell."""
    named = [
        source
        for name, source in SOURCES.items()
        if path.resolve().parent.name == name or path.name.startswith(name) or kind_in_name(source, path.name)
    ]
    return named[0] if named else None


def start_of_mapping(source: Source, file: LandingFile) -> list[str]:
    """The lines of a mapping to be looked over: columns whose names or values come near are written, others left open."""
    columns, sample = readers.file_columns(source, file), readers.sample(source, file)
    free = [name for name in columns if name not in source.names]
    near = {_plain(name): name for name in reversed(free)}
    lines = [
        '[[mapping]]',
        f"source = '{source.name}'",
        f'files = {_quoted(file.path.name)}',
        "# zone = 'America/New_York'     where times without offset are local",
        "# decimal = ','                 and thousands = '.'",
        '# ignore = []                   columns of the file that are not kept',
        '',
        '[mapping.columns]',
    ]
    for column in source.columns:
        if column.name in columns:
            continue
        found = get_close_matches(_plain(column.name), near, 1, _LIKE)
        if not found and column.kind == 'timestamp':
            found = [plain for plain, name in near.items() if name in sample.columns and _date_of(sample[name])][:1]
        if not found:
            needed = 'required' if column.required else 'optional'
            lines.append(f"# {column.name} = '…'   {needed}: {column.description}")
            continue
        origin = near.pop(found[0])
        form = _date_of(sample[origin]) if column.kind == 'timestamp' and origin in sample.columns else None
        date_of = f', date = {_quoted(form)}' if form else ''
        lines.append(f'{column.name} = {{ from = {_quoted(origin)}{date_of} }}')
    left = sorted(set(near.values()), key=columns.index)
    if left:
        lines += ['', '# Not mapped, so kept as text: ' + ', '.join(_quoted(name) for name in left)]
    return lines


def _plain(name: str) -> str:
    """A name without what exports add to it and without its spelling."""
    last = name.rpartition('.')[2].lower()
    return ''.join(c for c in last if c.isalnum())


def _date_of(values: pl.Series) -> str | None:
    """The format of a column's dates; None if they need none, or it is not known."""
    texts = values.cast(pl.String).drop_nulls()
    if texts.is_empty() or texts.str.contains('^[0-9]{4}-[0-9]{2}-[0-9]{2}').all():
        return None
    for form, micros in EPOCHS.items():
        if texts.str.contains(f'^[0-9]{{{_MICROS_DIGITS + 1 - len(str(micros))}}}$').all():
            return form
    return next((f for f in _FORMATS if texts.str.to_datetime(f, strict=False).null_count() == 0), None)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
