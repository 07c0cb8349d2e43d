"""Reports as people export them from a page: spelled as their account spells, with a line of sums at the end.

How numbers and dates are spelled is looked for in the whole file before a row of it is taken, and what may be read in two
ways is refused. The line of sums is no row: it is what the rows have to add up to, exactly.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING
from typing import cast as as_type

import polars as pl

from kly_mage.common.errors import LandingError
from kly_mage.common.text import counted, printable
from kly_mage.declared import currency
from kly_mage.declared.base import Source
from kly_mage.landing.files import LandingFile
from kly_mage.landing.mapping import amounts
from kly_mage.landing.slices import Slice
from kly_mage.landing.spelling import Dates, Numbers, as_iso

if TYPE_CHECKING:
    from kly_mage.declared.mapping import Mapping

_NONE = '-'


@dataclass(frozen=True)
class _Places:
    """The columns of the file that are looked at."""

    day: str | None
    others: tuple[str, ...]
    counts: tuple[str, ...]
    money: dict[str, tuple[str, ...]]  # and the signs of its currency


class Report:
    """One report: how it is spelled, and whether its rows are what its last line says.

    Args:
        mapping: its ``total`` is not None.
        slices: all of the file, walked once and closed by whoever made it.

    Raises:
        LandingError: its numbers or dates may be read in two ways.
    """

    def __init__(self, source: Source, file: LandingFile, mapping: Mapping, slices: Iterable[Slice]) -> None:
        self._source, self._file, self._word = source, file, mapping.total
        self._places = _places(source, mapping)
        numbers, dates = Numbers(), Dates()
        are_said = bool({'decimal', 'thousands'} & mapping.model_fields_set)
        is_date_said = self._places.day is None or mapping.columns[source.day_column].date is not None
        for part in slices:
            rows = self._unmarked(part.rows)
            if not are_said:
                numbers.see([rows[name] for name in self._places.counts], [rows[name] for name in self._places.money])
            if not is_date_said and self._places.day:
                dates.see(rows.filter(~self._is_total(rows))[self._places.day])
            if (are_said or numbers.are_known) and (is_date_said or dates.is_known):
                break
        self._order = None if is_date_said else dates.order(file)
        self.mapping = mapping if are_said else mapping.model_copy(update=numbers.signs(file))
        self._sums: dict[str, Decimal] = {}
        self._unreadable: dict[str, int] = {}
        self._total: dict[str, Decimal | int | None] = {}  # behind its line

    def rows(self, part: Slice) -> Slice:
        """The rows of a slice as any file has them, without the line of sums.

        Raises:
            LandingError: there are rows behind that line.
        """
        rows = self._unmarked(part.rows)
        is_total = self._is_total(rows)
        if self._order and self._places.day:
            rows = rows.with_columns(as_iso(rows[self._places.day], self._order))
        if rows.height and (self._total or (is_total.any() and (is_total.sum() > 1 or not is_total[-1]))):
            raise LandingError(f'{self._file.name}: there are rows behind the line {self._told_word()}, which is its last')
        found = amounts(rows, self.mapping, self._source)
        if is_total.any():
            said = part.rows.row(-1, named=True)
            is_said = {name: said[self.mapping.columns[name].from_ or ''] not in (None, '', _NONE) for name in found}
            self._total = {name: values[-1] for name, values in found.items() if is_said[name]}
        for name, values in found.items():
            kept = values.filter(~is_total)
            self._sums[name] = self._sums.get(name, Decimal(0)) + as_type(Decimal, kept.sum())
            self._unreadable[name] = self._unreadable.get(name, 0) + kept.null_count()
        return replace(part, rows=rows.filter(~is_total), lines=part.lines.filter(~is_total))

    def problem(self) -> str | None:
        """Why its rows are not all of the report, in a sentence; None if they are. Asked behind its last slice."""
        if not self._word:
            return None
        if not self._total:
            return (
                f"has no line {self._told_word()} at its end, so it is cut short: deliver it again, or say total = '' in "
                'landing.toml if its reports have none'
            )
        for name, said in self._total.items():
            bad = self._unreadable[name]
            unreadable = f'; {counted(bad, "value is no number", "values are no numbers")}' if bad else ''
            if said != self._sums[name]:
                return (
                    f'its line {self._told_word()} says {_told(said)} {name}, its rows add up to {_told(self._sums[name])}'
                    f"{unreadable}: deliver it again, or say total = '' in landing.toml to load it without that check"
                )
        return None

    def _is_total(self, rows: pl.DataFrame) -> pl.Series:
        first = rows.to_series(0).str.strip_chars()
        found = first.eq(self._word).fill_null(False) if self._word else pl.Series([False]).new_from_index(0, rows.height)
        if self._places.day and self._places.day != rows.columns[0]:
            found &= rows[self._places.day].is_null()
        return found

    def _unmarked(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The columns that are taken, without signs of a currency, and without marks for none."""
        places = self._places
        texts = [name for name in (places.day, *places.others) if name]
        rows = rows.with_columns(pl.when(pl.col(name).str.strip_chars() != _NONE).then(pl.col(name)) for name in texts)
        for name in (*places.counts, *places.money):
            values = pl.col(name).str.strip_chars()
            if marks := places.money.get(name):
                values = values.str.replace(f'({"|".join(map(re.escape, marks))})', '').str.strip_chars()
                values = values.str.replace(r'^-\s+', '-')
            is_none = values.is_null() | values.is_in(['', _NONE])
            rows = rows.with_columns(pl.when(is_none).then(pl.lit('0')).otherwise(values).alias(name))
        return rows

    def _told_word(self) -> str:
        return repr(printable(self._word or '', 40))


def _places(source: Source, mapping: Mapping) -> _Places:
    of = {name: column.from_ for name, column in mapping.columns.items() if column.from_}
    kinds = {name: source.column(name).kind for name in of}
    return _Places(
        day=of.get(source.day_column),
        others=tuple(of[name] for name in of if kinds[name] in ('text', 'id')),
        counts=tuple(of[name] for name in of if kinds[name] == 'count'),
        money={of[name]: currency.signs(mapping.columns[name].currency) for name in of if kinds[name] == 'money'},
    )


def _told(number: Decimal | int | None) -> str:
    return 'no number of' if number is None else f'{Decimal(number).normalize():,f}'
