"""Text from a file becomes typed values, column by column; what cannot become one is marked, never dropped.

A row that cannot be used keeps its place in the frame with ``_reject`` filled: JSON with ``column``, ``value``,
``reason`` and the raw ``row``. In every other row ``_reject`` is null.
"""

import json
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from decimal import Context, Decimal, InvalidOperation
from functools import lru_cache
from typing import Any
from typing import cast as as_type

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from kly_mage.declared.base import Column, Source

ID_LENGTH = 500  # characters; a longer key would not fit into a B-tree index entry
MONEY_DIGITS = 12  # after the point
MONEY = pl.Decimal(38, MONEY_DIGITS)
_MONEY_LIMIT = Decimal(10) ** 18
_MONEY_STEP = Decimal('1e-12')
_WIDE = Context(prec=80)
_COUNT_LIMIT = 2**63
_EARLY, _LATE = -62_135_500_000_000_000, 253_402_200_000_000_000  # some hours inside the years 1 to 9999

# Only the shapes ISO 8601 has; the parser alone would also take `2025-1-1` or a leading blank.
# Digits are spelled out: \d would be any digit of Unicode, which the parsers then refuse.
_ISO_8601 = (
    '^[0-9]{4}-[0-9]{2}-[0-9]{2}'
    r'([T ][0-9]{2}:[0-9]{2}(:[0-5][0-9](\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)?)?$'
)
_PLAIN_MONEY = r'^-?[0-9]{1,18}(\.[0-9]{0,12})?$'
_PLAIN_COUNT = '^[0-9]{1,18}$'
_HINTS = (  # spellings that exports have and ISO 8601 has not, and how it writes them
    ('^[0-9]{4}-[0-9]{2}-[0-9]{2} .* UTC$', 'write UTC as Z or +00:00'),
    ('^[0-9]{16}$', 'these look like microseconds since 1970, which landing.toml can say'),
    ('^[0-9]{13}$', 'these look like milliseconds since 1970, which landing.toml can say'),
)
REASONS = {
    'timestamp': 'not an ISO 8601 timestamp',
    'count': 'not a whole number of at least 0',
    'money': 'not a finite decimal of at most 18 digits before and 12 after the point',
}
Problem = tuple[str, str, pl.Series]
"""The column, the reason, and in which rows."""


def typed_schema(source: Source, undeclared: tuple[str, ...] = ()) -> dict[str, pl.DataType]:
    """Column types of a frame of ``source`` after ``cast``, by name."""
    types: dict[str, pl.DataType] = {
        'text': pl.String(),
        'id': pl.String(),
        'timestamp': pl.Datetime('us', 'UTC'),
        'count': pl.Int64(),
        'money': MONEY,
        'fingerprint': pl.Binary(),
    }
    schema = {column.name: types[column.kind] for column in source.columns}
    schema |= dict.fromkeys(undeclared, pl.String())
    return schema | {'_partition_date': pl.Date(), '_reject': pl.String()}


def cast(
    text: pl.DataFrame, source: Source, timezone: str, *, nul: bool = True, noted: Iterable[Problem] = ()
) -> pl.DataFrame:
    """Give every declared column its type, add ``_partition_date`` and ``_reject``.

    Args:
        text: all columns as text, as the file has them; declared columns may be absent.
        timezone: where a timestamp without offset is local, and where a day is a day.
        nul: False if the caller knows that there is no NUL byte in the text.
        noted: what is wrong with the rows already; it is said rather than what else may be wrong with them.

    Returns:
        The declared columns in the declaration's order, undeclared ones as they were, ``_partition_date`` (the local
        day of the source's day column) and ``_reject``.
    """
    undeclared = tuple(name for name in text.columns if name not in source.names)
    present = [pl.col(name) if name in text.columns else pl.lit(None, pl.String).alias(name) for name in source.names]
    text = text.select(*present, *undeclared)
    values = {column.name: typed(text[column.name], column, timezone) for column in source.columns}
    problems = list(noted)
    for name, _, rows in problems:  # what a text spells by accident does not count
        values[name] = pl.select(pl.when(~rows).then(values[name])).to_series()
    for name in text.columns if nul else ():
        _note(problems, name, 'holds a NUL byte', text[name].str.contains('\0', literal=True))
    for column in source.columns:
        raw, value = text[column.name], values[column.name]
        if column.kind == 'id' and (raw.str.len_bytes() > ID_LENGTH).any():
            _note(problems, column.name, f'longer than {ID_LENGTH} characters', raw.str.len_chars() > ID_LENGTH)
        if column.kind in REASONS and value.null_count() > raw.null_count():
            if column.kind == 'timestamp':
                skipped = value.is_null() & typed(raw, column, 'UTC').is_not_null()
                _note(problems, column.name, f'a time that the clocks of {timezone} skip; write it with its offset', skipped)
            unreadable = value.is_null() & raw.is_not_null() & (raw != '')
            for shape, hint in _HINTS if column.kind == 'timestamp' else ():
                alike = unreadable & raw.str.contains(shape)
                _note(problems, column.name, f'{REASONS[column.kind]}: {hint}', alike)
            _note(problems, column.name, REASONS[column.kind], unreadable)
        if column.required and (value.null_count() or (column.kind in ('text', 'id') and (value == '').any())):
            _note(problems, column.name, 'is missing', raw.is_null() | (raw == ''))
    day = local_days(values[source.day_column], timezone)
    return pl.DataFrame(
        [values[name].alias(name) for name in source.names]
        + [text[name] for name in undeclared]
        + [day.alias('_partition_date'), _reject(text, problems)]
    )


def local_days(instants: pl.Series, timezone: str) -> pl.Series:
    """The days of instants by the clocks of ``timezone``.

    Most files lie between two changes of these clocks: one shift then does for all rows, in a tenth of the time. Clocks
    have changed at full quarters of an hour (UTC) since 1980, so looking there finds every change.
    """
    first, last = as_type(datetime | None, instants.min()), as_type(datetime | None, instants.max())
    if first and last and first.year >= 1980 and last.year < 9999 and last - first < timedelta(days=60):
        begin, end = (instant.replace(minute=0, second=0, microsecond=0) for instant in (first, last))
        shift = _shift(begin, end + timedelta(hours=1), timezone)
        if shift is not None:
            here: pl.Series = instants.dt.replace_time_zone(None) + shift
            return here.dt.date()
    return instants.dt.convert_time_zone(timezone).dt.date()


@lru_cache(1_000)  # many small files of one day ask the same
def _shift(begin: datetime, end: datetime, timezone: str) -> timedelta | None:
    """How far clocks are from UTC in all quarters of an hour from ``begin`` to ``end``; None if they change."""
    quarters = pl.datetime_range(begin, end, '15m', eager=True).dt.convert_time_zone(timezone)
    shifts = (quarters.dt.base_utc_offset() + quarters.dt.dst_offset()).unique()
    return shifts.item() if len(shifts) == 1 else None


def reason_of(reject: str) -> str:
    """What a ``_reject`` says in words: the column and what is wrong with it."""
    told = json.loads(reject)
    return ' '.join(part for part in (told['column'], told['reason']) if part)


def _note(problems: list[Problem], column: str, reason: str, rows: pl.Series) -> None:
    rows = rows.fill_null(False)
    if rows.any():
        problems.append((column, reason, rows))


def _reject(text: pl.DataFrame, problems: list[Problem]) -> pl.Series:
    """JSON for every row with a problem (the first one names it), null for the others."""
    if not problems:
        return pl.Series('_reject', [None], pl.String).new_from_index(0, text.height)
    first = pl.coalesce(pl.when(rows).then(pl.lit(number)) for number, (_, _, rows) in enumerate(problems))
    printable = text.with_columns(pl.all().str.replace_all('\0', '\N{REPLACEMENT CHARACTER}', literal=True))
    value = pl.coalesce(pl.when(pl.col('_first') == n).then(pl.col(c)) for n, (c, _, _) in enumerate(problems))
    named = {number: column for number, (column, _, _) in enumerate(problems)}
    reasons = {number: reason for number, (_, reason, _) in enumerate(problems)}
    bad = printable.with_columns(first.alias('_first')).with_row_index('_row').filter(pl.col('_first').is_not_null())
    told = bad.select(
        '_row',
        pl.struct(
            pl.col('_first').replace_strict(named, return_dtype=pl.String).alias('column'),
            value.alias('value'),
            pl.col('_first').replace_strict(reasons, return_dtype=pl.String).alias('reason'),
            pl.struct(text.columns).alias('row'),
        )
        .struct.json_encode()
        .alias('_reject'),
    )
    rows = pl.DataFrame({'_row': pl.int_range(text.height, dtype=pl.UInt32, eager=True)})
    return rows.join(told, on='_row', how='left', maintain_order='left')['_reject']


def typed(raw: pl.Series, column: Column, timezone: str) -> pl.Series:
    """The values that texts spell; null where one spells none, and for the empty text unless the column is text."""
    if column.kind == 'timestamp':
        return _of_the_calendar(_timestamps(raw, timezone), timezone)
    if column.kind == 'count':
        return _counts(raw)
    if column.kind == 'money':
        return _money(raw)
    return raw


def _timestamps(raw: pl.Series, timezone: str) -> pl.Series:
    """Instants of ISO 8601 texts; null where a text is none. Without offset a text is local to ``timezone``."""
    if (plain := _in_utc(raw)) is not None:
        return plain
    iso = pl.select(pl.when(raw.str.contains(_ISO_8601)).then(raw)).to_series()
    if iso.null_count() == len(iso):
        return pl.Series(raw.name, [None], pl.Datetime('us', 'UTC')).new_from_index(0, len(raw))
    full, tail = _spelled_out(iso)
    seconds = full.str.to_datetime('%Y-%m-%dT%H:%M:%S', time_unit='us', strict=False)
    zulu = tail.str.ends_with('Z')
    offset = tail.str.extract(r'([+-]\d\d(?::?\d\d)?)$')
    micros = tail.str.extract(r'^\.(\d+)').fill_null('').str.pad_end(6, '0').cast(pl.Int64)
    local = seconds + pl.select(pl.duration(microseconds=pl.lit(micros))).to_series()
    ahead = pl.DataFrame(
        {
            'sign': offset.str.head(1).replace_strict({'+': 1, '-': -1}, default=None, return_dtype=pl.Int64),
            'hours': offset.str.slice(1, 2).cast(pl.Int64),
            'minutes': offset.str.extract(r'\d\d:?(\d\d)$').fill_null('0').cast(pl.Int64),
        }
    )
    frame = ahead.with_columns(local=local, naive=~zulu & offset.is_null())
    return frame.select(
        pl.when('naive')
        # A local time that a clock change skips is no instant; one that it repeats is the first of the two.
        .then(
            pl.col('local')
            .dt.replace_time_zone(timezone, ambiguous='earliest', non_existent='null')
            .dt.convert_time_zone('UTC')
        )
        .when((pl.col('hours') <= 15) & (pl.col('minutes') < 60) | pl.col('hours').is_null())
        .then(
            (
                pl.col('local')
                - pl.duration(minutes=(pl.col('sign') * (pl.col('hours') * 60 + pl.col('minutes'))).fill_null(0))
            ).dt.replace_time_zone('UTC')
        )
        .alias(raw.name)
    ).to_series()


def _in_utc(raw: pl.Series) -> pl.Series | None:
    """Instants of texts like `2025-10-01T05:00:00.5Z`, which GA4 exports have; None if one of them looks otherwise.

    A tenth of the time of the expressions. A text of 20 characters or more has its seconds, which pyarrow can do without.
    """
    if (raw.str.len_bytes() < 20).any() or not raw.str.ends_with('Z').all():
        return None
    try:
        return pl.Series(raw.name, pc.cast(raw.to_arrow(), pa.timestamp('us', 'UTC')))
    except pa.ArrowInvalid:
        return None


def _of_the_calendar(instants: pl.Series, timezone: str) -> pl.Series:
    """Null for instants whose year, here or in UTC, is not one of 1 to 9999: Python has no dates for them."""
    numbers = instants.to_physical()
    if not ((numbers < _EARLY) | (numbers > _LATE)).any():
        return instants
    here, utc = instants.dt.convert_time_zone(timezone).dt.year(), instants.dt.year()
    return pl.select(pl.when(here.is_between(1, 9999) & utc.is_between(1, 9999)).then(instants)).to_series()


def _spelled_out(iso: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Date and time as ``YYYY-MM-DDTHH:MM:SS``, and what follows the seconds."""
    time = iso.str.extract(r'^.{10}[T ](\d\d:\d\d(?::\d\d)?)')
    seconds = pl.select(
        pl.when(time.is_null()).then(pl.lit('00:00:00')).when(time.str.len_bytes() == 5).then(time + ':00').otherwise(time)
    ).to_series()
    tail = iso.str.replace(r'^.{10}([T ]\d\d:\d\d(?::\d\d)?)?', '')
    return iso.str.head(10) + 'T' + seconds, tail


def _counts(raw: pl.Series) -> pl.Series:
    """Whole numbers from 0 to bigint's end, however they are spelled (``12``, ``12.0``, ``1e3``)."""
    plain = raw.str.contains(_PLAIN_COUNT)
    numbers = pl.select(pl.when(plain).then(raw)).to_series().cast(pl.Int64)
    return _with_rare(raw, numbers, lambda number: number == int(number) and 0 <= number < _COUNT_LIMIT, int)


def _money(raw: pl.Series) -> pl.Series:
    """Exact decimals; a text that would have to be rounded is none."""
    plain = raw.str.contains(_PLAIN_MONEY)
    numbers = pl.select(pl.when(plain).then(raw)).to_series().cast(MONEY)

    def fits(number: Decimal) -> bool:
        return abs(number) < _MONEY_LIMIT and number == number.quantize(_MONEY_STEP, context=_WIDE)

    return _with_rare(raw, numbers, fits, lambda number: number.quantize(_MONEY_STEP, context=_WIDE))


def _with_rare(
    raw: pl.Series, numbers: pl.Series, fits: Callable[[Decimal], bool], finish: Callable[[Decimal], Any]
) -> pl.Series:
    """Fill in the unusual spellings (exponents and the like), each distinct text looked at once."""
    if numbers.null_count() == raw.null_count():
        return numbers
    rare = raw.filter(numbers.is_null() & raw.is_not_null()).unique()
    found = {text: finish(number) for text in rare if (number := _decimal(text)) is not None and fits(number)}
    if not found:
        return numbers
    spelled = pl.DataFrame({'text': list(found), 'number': pl.Series(list(found.values()), dtype=numbers.dtype)})
    joined = pl.DataFrame({'text': raw}).join(spelled, on='text', how='left', maintain_order='left')['number']
    return pl.select(pl.coalesce(numbers, joined)).to_series().alias(raw.name)


def _decimal(text: str) -> Decimal | None:
    """The number a text spells; None if it is none, is not finite, or is far outside every column."""
    if not text.isascii() or text != text.strip() or '_' in text:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    if not number.is_finite():
        return None
    return number if number == 0 or -30 < number.adjusted() < 30 else None
