r"""The row hash: one canonical text per row. For checks, ``warehouse/postgres/hash_sql.py`` makes the same of a stored row.

The canonical text is ``v1`` and then, for every hash column that is not NULL, in the order of the column names,
``US name = value``. Typed values have one spelling each: an instant is its microseconds since 1970, a decimal has no
trailing zeros. Inside names and values ``ESC`` and ``US`` are doubled up with ``ESC``, and ``=`` in a name too, so no two
different rows share a text; NULL is absent, the empty string is present. ``v1`` is the version of
this rule: a change of the rule would change it.

The hash is stored as ``uuid``: the row's UTC day as eight digits, then the first 96 bits of the text's SHA-256. The day in
front keeps the hashes of a day together in the registry's index: a load then looks at a few neighbouring pages, not at
all of the history (docs/decisions.md, "The day in front of the hash").
"""

from collections.abc import Callable, Iterable

import numpy as np
import polars as pl
import polars_hash as plh
import pyarrow as pa

from kly_mage.declared.base import UNDECLARED, Source
from kly_mage.rows.frames import SLICE_ROWS

US, ESC = '\x1f', '\x1b'
VERSION = 'v1'


def hash_columns(source: Source, columns: tuple[str, ...] | list[str]) -> list[str]:
    """The columns ``_hashrow`` is over, in canonical order; ``columns`` are those of the frame or table at hand."""
    if source.hash_columns is not None:
        return sorted(source.hash_columns)
    return sorted(name for name in columns if not name.startswith('_'))


def undeclared_columns(source: Source, columns: Iterable[str]) -> list[str]:
    """The columns that are neither declared nor ours, in canonical order."""
    return sorted(name for name in columns if not name.startswith('_') and name not in source.names)


def add_hashrow(frame: pl.DataFrame, source: Source) -> pl.DataFrame:
    """Add ``_hashrow``: 32 hexadecimal digits, null for rejected rows.

    Where the hash is over some columns, add ``_undeclared`` too: as many digits of what a row says in undeclared columns,
    null if it says nothing there.
    """
    if source.version_columns:
        frame = frame.with_columns(_by_slices(frame, lambda rows: _undeclared(rows, source)))
    return frame.with_columns(_by_slices(frame, lambda rows: _hashrow(rows, source)))


def _by_slices(frame: pl.DataFrame, column: Callable[[pl.DataFrame], pl.Series]) -> pl.Series:
    if frame.height <= SLICE_ROWS:
        return column(frame)
    return pl.concat(map(column, frame.iter_slices(SLICE_ROWS)))


def _hashrow(frame: pl.DataFrame, source: Source) -> pl.Series:
    text = _text(frame, hash_columns(source, frame.columns))
    digest = pl.concat_str(_day(frame[source.day_column]), text.chash.sha2_256().str.head(24))
    if frame['_reject'].null_count() < frame.height:
        digest = pl.when(pl.col('_reject').is_null()).then(digest)
    return frame.select(digest.alias('_hashrow')).to_series()


def _undeclared(frame: pl.DataFrame, source: Source) -> pl.Series:
    names = [name for name in undeclared_columns(source, frame.columns) if frame[name].null_count() < frame.height]
    if not names:
        return pl.repeat(None, frame.height, dtype=pl.String, eager=True).alias(UNDECLARED.name)
    digest = _text(frame, names).chash.sha2_256().str.head(32)
    return frame.select(pl.when(~pl.all_horizontal(pl.col(names).is_null())).then(digest).alias(UNDECLARED.name)).to_series()


def _text(frame: pl.DataFrame, names: list[str]) -> plh.HExpr:
    """The canonical text. What is constant is put together, and an absent value takes its label with it."""
    parts, constant = list[pl.Expr](), VERSION
    for name in names:
        absent, label = frame[name].null_count(), column_label(name)
        if absent and absent == frame.height:
            continue
        if absent:
            parts += [pl.lit(constant)] if constant else []
            parts.append(pl.when(pl.col(name).is_not_null()).then(pl.lit(label)))
        else:
            parts.append(pl.lit(constant + label))
        parts.append(_canonical(frame, name))
        constant = ''
    parts += [pl.lit(constant)] if constant else []
    return plh.concat_str(*parts, ignore_nulls=True)


def distinct(frame: pl.DataFrame, source: Source) -> pl.DataFrame:
    """Keep the first of equal rows of a file and count the others in its ``_duplicate_rows``.

    Rows are equal if they share ``_hashrow`` and all that it leaves out, declared or not. Those of different
    files stay, in a frame that holds several as Mage's do: the ledger says of each file what it held. Rejected rows
    all stay: each is a line of a file that somebody has to look at.
    """
    key = ['_hashrow', *(column.name for column in source.version_columns)]
    if of_several_files(frame):
        key.append('_file')
    rejected = pl.col('_reject').is_not_null()
    first = pl.struct(key).is_first_distinct() if len(key) > 1 else pl.col('_hashrow').is_first_distinct()
    marked = frame.with_columns((first | rejected).alias('_first'))
    if marked['_first'].all():
        return marked.drop('_first').with_columns(pl.lit(0, pl.Int64).alias('_duplicate_rows'))
    amounts = [pl.len().cast(pl.Int64).alias('_duplicate_rows')]
    if source.versioned:  # an article edited and edited back within one file: the place of the last delivery counts
        amounts.append(pl.col('_line').max().alias('_last_line'))
    again = marked.filter(~pl.col('_first')).group_by(key).agg(amounts)
    joined = (
        marked.filter('_first')
        .drop('_first')
        .join(again, on=key, how='left', nulls_equal=True, maintain_order='left')
        .with_columns(pl.when(~rejected).then(pl.col('_duplicate_rows')).fill_null(0))
    )
    if '_last_line' not in joined.columns:
        return joined
    return joined.with_columns(pl.coalesce('_last_line', '_line').alias('_line')).drop('_last_line')


def of_several_files(frame: pl.DataFrame) -> bool:
    """Whether rows of more than one file are in a frame."""
    return '_file' in frame.columns and frame.height > 0 and bool((frame['_file'] != frame['_file'][0]).any())


def stored(hashrow: pl.Series) -> pl.Series:
    """``_hashrow`` as the database keeps it, 16 bytes; the column has no null."""
    # All at once: `str.decode` takes them one by one, and four times as long.
    return binary(bytes.fromhex(hashrow.str.join('').item())).alias(hashrow.name)


def halves(hashrow: pl.Series) -> list[pl.Series]:
    """``high`` and ``low``: the stored hashes as two columns of 64 bits, as they lie in memory; the column has no null."""
    return split(bytes.fromhex(hashrow.str.join('').item()))


def split(data: bytes | memoryview) -> list[pl.Series]:
    """The same of stored hashes whose bytes are in a row."""
    numbers = np.frombuffer(data, np.uint64)
    return [pl.Series('high', numbers[0::2].copy()), pl.Series('low', numbers[1::2].copy())]


def of_halves(high: pl.Series, low: pl.Series) -> pl.Series:
    """``_hashrow`` as the database keeps it, from its halves."""
    return binary(np.column_stack((high.to_numpy(), low.to_numpy())).tobytes()).alias('_hashrow')


def stored_undeclared(frame: pl.DataFrame, source: Source) -> list[pl.Series]:
    """``_undeclared`` as the database keeps it, 16 bytes or null; nothing where the hash is over all columns."""
    if not source.version_columns:
        return []
    fingerprints = frame[UNDECLARED.name]
    if fingerprints.null_count() == len(fingerprints):
        return [pl.repeat(None, len(fingerprints), dtype=pl.Binary, eager=True).alias(UNDECLARED.name)]
    return [fingerprints.str.decode('hex')]


def undeclared_values(frame: pl.DataFrame, source: Source) -> list[pl.Expr]:
    """What rows say in undeclared columns, as JSON; nothing where there are none."""
    names = undeclared_columns(source, frame.columns)
    return [pl.struct(names).struct.json_encode().alias('_undeclared_values')] if names else []


def binary(joined: bytes) -> pl.Series:
    """A column of 16 bytes each, of their bytes in a row."""
    array = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(joined) // 16, [None, pa.py_buffer(joined)])
    return pl.Series(array.cast(pa.binary()))


def joined(stored: pl.Series) -> memoryview:
    """The bytes of stored hashes in a row; the column has no null."""
    return memoryview(stored.to_arrow(compat_level=pl.CompatLevel.oldest()).buffers()[2])[: 16 * len(stored)]


def tails(stored: pl.Series) -> pl.Series:
    """The last 64 bits of stored hashes."""
    return pl.Series(np.frombuffer(joined(stored), '<u8')[1::2])


def order(hashrow: pl.Series) -> pl.Series:
    """Places of the rows in the order of their stored hash's first half: near enough for an index, a third of the work."""
    halves = np.frombuffer(hashrow.to_arrow(compat_level=pl.CompatLevel.oldest()).buffers()[2], '>u8')
    return pl.Series(halves[: 2 * len(hashrow) : 2].astype('u8').argsort())


def _day(instants: pl.Series) -> pl.Series:
    """``YYYYMMDD`` in UTC, ``00000000`` for no instant or one outside the years 1 to 9999."""
    days = instants.dt.date()
    some = days.unique().drop_nulls()
    some = some.filter(some.dt.year().is_between(1, 9999))
    return days.replace_strict(some, some.dt.to_string('%Y%m%d'), default='00000000', return_dtype=pl.String)


def column_label(name: str) -> str:
    """What stands before a column's value in the canonical text."""
    return US + _escaped(name).replace('=', ESC + '=') + '='


def _escaped(text: str) -> str:
    return text.replace(ESC, ESC + ESC).replace(US, ESC + US)


def _holds(text: pl.Series, *characters: str) -> bool:
    """Whether one of the (ASCII) characters is in the column; all bytes are searched at once, four times as fast."""
    data = text.to_arrow().buffers()[2]
    return data is not None and any(character.encode() in data.to_pybytes() for character in characters)


def _canonical(frame: pl.DataFrame, name: str) -> pl.Expr:
    dtype, column = frame.schema[name], pl.col(name)
    if dtype == pl.String:
        if _holds(frame[name], US, ESC):
            column = column.str.replace_all(ESC, ESC + ESC, literal=True)
            column = column.str.replace_all(US, ESC + US, literal=True)
        return column
    if isinstance(dtype, pl.Datetime):
        return column.dt.epoch('us').cast(pl.String)
    if isinstance(dtype, pl.Decimal):
        return column.cast(pl.String).str.strip_chars_end('0').str.strip_suffix('.')
    return column.cast(pl.String)
