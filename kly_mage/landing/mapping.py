"""The columns of a publisher's own file become those of a source, as its mapping says.

Whole columns at once, text to text: what comes out is what a file in our own shape would hold, so that types, rejects and
hashes are made in one place. What cannot be mapped stays as it is, and the row is rejected with the mapping's reason.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import polars as pl

from kly_mage.common.errors import LandingError
from kly_mage.common.text import printable
from kly_mage.declared import gam_report, gam_rest, gam_ui
from kly_mage.declared.base import Column, Source
from kly_mage.declared.units import EPOCHS, UNIT_DIGITS
from kly_mage.landing.files import LandingFile
from kly_mage.landing.fx_rates import in_dollars, rates_of
from kly_mage.landing.mapping_file import MAPPINGS
from kly_mage.rows import casting

if TYPE_CHECKING:
    from kly_mage.declared.mapping import ColumnMapping, Mapping

_WHOLE = r'^-?[0-9]{1,30}$'
Problems = list[casting.Problem]


def mapping_for(source: Source, file: LandingFile, names: list[str]) -> Mapping | None:
    """How a file with these columns is mapped: as what it is recognised as, and as ``landing.toml`` says."""
    own = file.mapping
    if source.name == gam_report.SOURCE and not (own and own.is_whole(c.name for c in source.columns if c.required)):
        if gam_report.is_report(names):
            return gam_report.mapping(names, own)
        if gam_ui.is_report(names):
            return gam_ui.mapping(names, own)
        if gam_rest.is_report(names):
            return gam_rest.mapping(names, own)
    return own


def amounts(text: pl.DataFrame, mapping: Mapping, source: Source) -> dict[str, pl.Series]:
    """The numbers of a slice, typed, money in the currency of the file; null where a text is none."""
    found = {}
    for name, column in mapping.columns.items():
        declared, problems = source.column(name), list[casting.Problem]()
        if declared.kind in ('count', 'money') and column.from_:
            values = casting.typed(_column(text, name, mapping, source, problems), declared, 'UTC')
            for _, _, failed in problems:
                values = pl.select(pl.when(~failed).then(values)).to_series()
            found[name] = values
    return found


def mapped(
    text: pl.DataFrame, mapping: Mapping, source: Source, rates: pl.DataFrame | None
) -> tuple[pl.DataFrame, Problems]:
    """The columns of a slice under their declared names, and what could not be mapped.

    Args:
        text: the columns as the file has them.
        rates: what ``rates_of`` gave; None if no money is changed.
    """
    problems: Problems = []
    made = {name: _column(text, name, mapping, source, problems) for name in mapping.columns}
    for name, column in mapping.columns.items():
        if rates is not None and (column.currency or column.currency_from):
            made[name] = _in_dollars(text, made, name, mapping, source, rates, problems)
    kept = [text[name] for name in mapping.names(text.columns) if name not in made]
    return pl.DataFrame([*kept, *(values.alias(name) for name, values in made.items())]), problems


def rates_for(file: LandingFile, mapping: Mapping) -> pl.DataFrame | None:
    """The rates a mapping needs; None if it changes no money.

    Raises:
        LandingError: there are none, or they cannot be used.
    """
    given = [column.currency or column.currency_from for column in mapping.columns.values()]
    if not any(given):
        return None
    try:
        return rates_of(file.root, mapping.rates)
    except LandingError as error:
        named = ', '.join(filter(None, given))
        raise LandingError(
            f'{file.name}: its amounts are to be changed into dollars ({printable(named, 60)}), by rates in a file beside '
            f'{MAPPINGS} with the columns date, currency and usd: {error}'
        ) from error


def _column(text: pl.DataFrame, name: str, mapping: Mapping, source: Source, problems: Problems) -> pl.Series:
    """What the file has for one declared column, spelled as in a file of our own shape."""
    column, declared = mapping.columns[name], source.column(name)
    if column.from_ is None:
        return pl.Series(name, [column.constant], pl.String).new_from_index(0, text.height)
    raw = text[column.from_]
    if column.match:
        raw = raw.str.extract(column.match, 1)
    if column.key:
        raw = _of_key(raw, column.key, column.from_)
    value, reason = raw, ''
    if declared.kind == 'timestamp' and (column.date or mapping.zone):
        value, reason = _instants(raw, column, mapping.zone, declared)
    elif declared.kind in ('count', 'money') and (mapping.thousands or mapping.decimal != '.' or column.unit):
        value, reason = _numbers(raw, column, mapping)
    failed = value.is_null() & raw.is_not_null() & (raw != '')
    if not failed.any():
        return value
    problems.append((name, reason, failed))
    return pl.select(pl.coalesce(value, raw)).to_series()


def value_of_key(raw: pl.Series, key: str) -> pl.Series:
    """The value of a key in lists of ``key=value``; null where it is not."""
    return raw.str.extract(rf'(?:^|[;,&\s]){re.escape(key)}\s*=\s*([^;,&]*?)\s*(?:[;,&]|$)', 1)


def _of_key(raw: pl.Series, key: str, name: str) -> pl.Series:
    found = value_of_key(raw, key)
    others = raw.filter(found.is_null() & raw.str.contains('=', literal=True))
    if len(others):
        raise LandingError(
            f'{printable(name, 60)} has {printable(others[0], 60)!r} beside rows of {key}: every impression stands there '
            f'once per key, so sums would be too high; filter the report to {key}'
        )
    return found


def _instants(raw: pl.Series, column: ColumnMapping, zone: str | None, declared: Column) -> tuple[pl.Series, str]:
    """ISO 8601 texts; null where a text is no such time."""
    if column.date in EPOCHS:
        numbers = raw.str.strip_chars().cast(pl.Int64, strict=False)
        # Beyond these no calendar has a day, and the product would not fit.
        numbers = pl.select(pl.when(numbers.abs() < 2**62 // EPOCHS[column.date]).then(numbers)).to_series()
        instants = (numbers * EPOCHS[column.date]).cast(pl.Datetime('us', 'UTC'))
        return _spelled(instants), f'no whole number of {column.date.removeprefix("epoch_")} since 1970'
    value, reason = raw, 'not an ISO 8601 timestamp'
    if column.date:
        value, reason = (
            _spelled(raw.str.to_datetime(column.date, time_unit='us', strict=False)),
            f'not a date like {column.date}',
        )
    if not zone:
        return value, reason
    # An offset in the text counts before the zone.
    return _spelled(casting.typed(value, declared, zone)), f'{reason}, or one that the clocks of {zone} skip'


def _spelled(times: pl.Series) -> pl.Series:
    """Times as ISO 8601; an instant ends in Z."""
    zulu = 'Z' if times.dtype == pl.Datetime('us', 'UTC') else ''
    return times.dt.to_string(f'%Y-%m-%dT%H:%M:%S%.6f{zulu}')


def _numbers(raw: pl.Series, column: ColumnMapping, mapping: Mapping) -> tuple[pl.Series, str]:
    """Numbers with a point and without groups, in whole units; null where a text is none with these signs."""
    point, group = re.escape(mapping.decimal), re.escape(mapping.thousands or '')
    grouped = rf'[0-9]{{1,3}}(?:{group}[0-9]{{3}})+|' if mapping.thousands else ''
    value = pl.select(pl.when(raw.str.contains(rf'^-?(?:{grouped}[0-9]+)(?:{point}[0-9]*)?$')).then(raw)).to_series()
    if mapping.thousands:
        value = value.str.replace_all(mapping.thousands, '', literal=True)
    if mapping.decimal != '.':
        value = value.str.replace(mapping.decimal, '.', literal=True)
    signs = f'decimal sign {mapping.decimal!r}' + (f' and thousands sign {mapping.thousands!r}' if mapping.thousands else '')
    if not column.unit:
        return value, f'no number with {signs}'
    return in_units(value, column.unit), f'no whole number of {column.unit}'


def in_units(numbers: pl.Series, unit: str) -> pl.Series:
    """Whole numbers of micros or cents as amounts, by moving digits; null where a text is none."""
    digits = UNIT_DIGITS[unit]
    whole = pl.select(pl.when(numbers.str.contains(_WHOLE)).then(numbers)).to_series()
    padded = whole.str.strip_prefix('-').str.zfill(digits + 1)
    amount = padded.str.head(-digits) + '.' + padded.str.tail(digits)
    return pl.select(pl.when(whole.str.starts_with('-')).then('-' + amount).otherwise(amount)).to_series()


def _in_dollars(
    text: pl.DataFrame,
    made: dict[str, pl.Series],
    name: str,
    mapping: Mapping,
    source: Source,
    rates: pl.DataFrame,
    problems: Problems,
) -> pl.Series:
    column, day = mapping.columns[name], source.day_column
    days = made[day] if day in made else text[day]
    if column.currency_from:
        currencies = text[column.currency_from]
    else:
        currencies = pl.Series([column.currency], dtype=pl.String).new_from_index(0, text.height)
    amounts = casting.typed(made[name], source.column(name), 'UTC')
    dollars, missing = in_dollars(amounts, days, currencies, rates)
    if missing.any():
        problems.append((name, f'has no rate for its day and currency in {mapping.rates}', missing))
    return pl.select(pl.coalesce(dollars, made[name])).to_series()
