"""The tables of the reconciliation page: amounts to the cent, all digits behind them, totals, and which days need a look."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Literal

from kly_mage.checks.reconciliation.charts import words_of
from kly_mage.checks.reconciliation.model import MISSING, Line, Report
from kly_mage.checks.reconciliation.table import ALWAYS, MONEY, TITLES, amount, most_telling, plain
from kly_mage.common.tables import cents
from kly_mage.common.text import counted
from kly_mage.declared.marts import DAILY_SUMMARY
from kly_mage.warehouse.gold import Found

Mood = Literal['', 'off', 'look']
_NEEDS_A_LOOK = ('conflict', 'rejected', *MISSING, 'in_no_file')


@dataclass(frozen=True)
class Cell:
    """One field of a table.

    Attributes:
        text: what is read.
        exact: all digits, where the text has not all of them.
        kind: ``nil`` for a 0 that says nothing, ``look`` for a number somebody should look at, ``text`` for words.
    """

    text: str
    exact: str = ''
    kind: str = ''


@dataclass(frozen=True)
class Row:
    """The cells of a line, and whether it is ``off`` (does not add up) or to be looked at."""

    cells: list[Cell]
    mood: Mood = ''


@dataclass(frozen=True)
class Grid:
    """A table of the page.

    Attributes:
        title: its heading.
        header: one name per cell.
        rows: the lines; the first cell says what each is about.
        total: the last line, what they amount to in all; None where they do not add up.
        note: a sentence below the heading.
    """

    title: str
    header: list[str]
    rows: list[Row]
    total: Row | None = None
    note: str = ''


@dataclass
class _Days:
    """The days of a source that somebody has to look at, each with why."""

    why: dict[date | None, list[str]] = field(default_factory=dict)
    off: set[date | None] = field(default_factory=set)


def places_of(report: Report) -> list[str]:
    """The places that have a column: those everybody expects, and those that hold a row."""
    totals = [report.total(source) for source in report.sources]
    return [place for place in TITLES if place in ALWAYS or any(line.rows.get(place) for line in totals)]


def grids(report: Report, best: Sequence[tuple[str, Found]], *, every_day: bool) -> Iterable[Grid]:
    """Rows and numbers by source, what earns most, then each source by day.

    Args:
        every_day: also the days of sources whose days say little, and every number of a day instead of the most telling.
    """
    totals, shown = [report.total(source) for source in report.sources], places_of(report)
    names = [TITLES[place] for place in shown]
    all_rows = [sum(line.rows.get(place, 0) for line in totals) for place in shown]
    yield Grid(
        'Rows',
        ['source', *names],
        [Row([_words(line.source), *_counts(line, shown)]) for line in totals],
        Row([_words('in all'), *(Cell(f'{count:,}') for count in all_rows)]) if len(totals) > 1 else None,
    )
    numbers = [(line, name) for line in totals for name in line.sums]
    if numbers:
        yield Grid(
            'Numbers',
            ['number', *names, 'gold', 'difference'],
            [_number_row(line, name, shown) for line, name in numbers],
        )
    for title, found in best:
        yield _best(title, found)
    for total in totals:
        yield from _by_day(report, total, shown, every_day=every_day)


def money(measure: str, value: Decimal) -> Cell:
    """An amount of a measure: dollars to the cent, and all digits behind them."""
    text, exact = amount(measure, value), plain(value)
    return Cell(text, exact if measure in MONEY else '', '' if value else 'nil')


def _by_day(report: Report, total: Line, shown: list[str], *, every_day: bool) -> Iterable[Grid]:
    lines = report.lines_of(total.source)
    telling = most_telling(total.source)
    if telling is None and not every_day:  # articles may be of any day: by day they say little
        lines = [line for line in lines if not line.adds_up]
    measures = [] if telling is None else list(total.sums) if every_day else [telling]
    days = _to_be_looked_at(report, total.source, lines)
    absent = [Line(total.source, day) for day in days.why if day not in {line.day for line in lines}]
    if not lines and not absent:
        return
    header = ['day', *(TITLES[place] for place in shown)]
    for name in measures:
        header += [f'{_named(name)} in the files', 'gold', 'difference']
    rows = []
    for line in sorted((*lines, *absent), key=lambda line: (line.day is None, line.day or date.min)):
        mood: Mood = 'off' if line.day in days.off else 'look' if line.day in days.why else ''
        why = Cell('; '.join(days.why.get(line.day, [])), kind='text')
        cells = [_words(str(line.day or 'no day')), *_counts(line, shown), *_amounts(line, measures), why]
        rows.append(Row(cells, mood))
    in_all = Row([_words('in all'), *_counts(total, shown), *_amounts(total, measures), _words('')])
    count = sum(bool(row.mood) for row in rows)
    note = f'{counted(count, "day needs", "days need")} a look' if count else 'no day needs a look'
    yield Grid(f'{total.source} by day', [*header, 'why to look'], rows, in_all if telling else None, note)


def _to_be_looked_at(report: Report, source: str, lines: Iterable[Line]) -> _Days:
    days = _Days()
    for line in lines:
        told = [f'{line.rows[place]:,} {TITLES[place]}' for place in (*MISSING, 'in_no_file') if line.rows.get(place)]
        if line.rows_unexplained:
            told.append(f'{line.rows_unexplained:,} in no place')
        told += [f'{_named(name)} differs' for name in line.sums if line.gold_difference(name)]
        if told:
            days.off.add(line.day)
        if line.is_beyond(report.conflict_limit):
            told.append(f'more than {report.conflict_limit:f} % conflicting')
        if told:
            days.why[line.day] = told
    for day in report.without_file.get(source, []):
        days.off.add(day)
        days.why.setdefault(day, []).insert(0, 'no file')
    return days


def _number_row(line: Line, name: str, shown: list[str]) -> Row:
    difference = line.gold_difference(name)
    cells = [money(name, line.sum(name, place)) for place in (*shown, 'gold')]
    return Row([_words(_named(name)), *cells, _difference(name, difference)], 'off' if difference else '')


def _best(title: str, found: Found) -> Grid:
    """The first lines of a table of gold."""
    texts = [name for name in ('title', 'site') if name in found.texts]
    numbers = [name for name in found.numbers if name in DAILY_SUMMARY.drawn]
    rows = []
    for values in found.rows:
        of = dict(zip((*found.texts, *found.numbers), values, strict=True))
        rows.append(Row([*(_words(of[name] or '') for name in texts), *(_gold(name, of[name]) for name in numbers)]))
    totals = dict(zip(found.numbers, found.totals, strict=True))
    in_all = [f'all {found.count:,}', *[''] * (len(texts) - 1)]
    note = f'the first {len(rows)} of {found.count:,}' if found.count > len(rows) else ''
    total = Row([*map(_words, in_all), *(_gold(name, totals[name]) for name in numbers)])
    return Grid(title, [*texts, *map(_named, numbers)], rows, total, note)


def _gold(name: str, value: Decimal | int | None) -> Cell:
    if value is None:
        return Cell('', kind='nil')
    number = Decimal(value)
    return Cell(cents(number), plain(number)) if name in MONEY else Cell(plain(number))


def _named(name: str) -> str:
    return f'{words_of(name)}, USD' if name in MONEY else words_of(name)


def _words(text: str) -> Cell:
    return Cell(text, kind='text')


def _counts(line: Line, places: list[str]) -> list[Cell]:
    return [_count(place, line.rows.get(place, 0)) for place in places]


def _count(place: str, rows: int) -> Cell:
    return Cell(f'{rows:,}', kind='nil' if not rows else 'look' if place in _NEEDS_A_LOOK else '')


def _amounts(line: Line, measures: Iterable[str]) -> Iterable[Cell]:
    for name in measures:
        yield from (money(name, line.sum(name, place)) for place in ('read', 'gold'))
        yield _difference(name, line.gold_difference(name))


def _difference(name: str, value: Decimal) -> Cell:
    """Where nothing differs, that is worth its 0."""
    cell = money(name, value)
    return Cell(cell.text, cell.exact, 'look' if value else '')
