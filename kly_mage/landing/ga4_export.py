"""GA4's BigQuery export: nested events become rows of ``ga4_events``.

A file of the tables ``events_YYYYMMDD``, ``events_intraday_…`` or ``events_fresh_…`` holds one event per row, with its
parameters as a list of keys and values. Each parameter's value stands in the field of its own type, and one parameter may
have another type in every event. Here a value is its text, whatever its type; the types come from the declaration, as for
any other file. Everything works on whole columns of a slice.

What tells events apart beside the declared columns comes along as undeclared ones (``IDENTITY``). The other fields of the
export are not taken: docs/decisions.md says which and why.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from polars.datatypes import DataTypeClass

from kly_mage.common.errors import LandingError
from kly_mage.common.text import printable
from kly_mage.common.timer import timer
from kly_mage.declared.ga4_events import IDENTITY
from kly_mage.landing import ga4_columns, ga4_parameters
from kly_mage.landing.arrow_text import series
from kly_mage.landing.files import LandingFile
from kly_mage.landing.ga4_columns import (
    LAST_MICROSECOND,
    VALUES,
    Expression,
    Field,
    FirstFilled,
    FirstThere,
    Host,
    Instant,
    Parameter,
    PathGroup,
)
from kly_mage.landing.json_object import is_too_deep
from kly_mage.landing.slices import Slice, gathered

_Kind = pl.DataType | DataTypeClass
_TEXT = pl.String()
_SHAPE: dict[str, pl.DataType] = {
    'event_timestamp': _TEXT,
    'event_name': _TEXT,
    'event_params': pl.List(pl.Struct({'key': _TEXT, 'value': pl.Struct(dict.fromkeys(VALUES, _TEXT))})),
    'user_pseudo_id': _TEXT,
    'device': pl.Struct({'category': _TEXT, 'web_info': pl.Struct({'hostname': _TEXT})}),
    'geo': pl.Struct({'country': _TEXT}),
    'traffic_source': pl.Struct({'source': _TEXT}),
    **dict.fromkeys(IDENTITY, _TEXT),
}
_NESTED = {name: kind for name, kind in _SHAPE.items() if kind.is_nested()}
_SURELY_FLAT = 4_000  # bytes of JSON that cannot be nested so deep that polars has no stack for it
_OTHER_SHAPE = "not of the shape that Google's export gives it"


AS_TEXT = pl.Struct(_SHAPE)
"""What is read of an event that is JSON: 64-bit integers are texts in one export and numbers in another."""


def wanted(names: Collection[str]) -> list[str]:
    """What is to be read of an export with the columns ``names``: columns, or parts of them behind a point."""
    places = ['.'.join(place) for place in ga4_columns.places(())]
    return [place for place in ('event_params', *places) if place.partition('.')[0] in names]


def flattened(file: LandingFile, parts: Iterable[Slice], article: Sequence[str]) -> Iterator[Slice]:
    """The slices of an export as slices of ``ga4_events``, all of it text; small ones are put together.

    An event whose nested fields are JSON that is not of Google's shape becomes a reject.

    Args:
        parts: nested columns are nested, or the JSON of what they hold; they may lack any but those of ``is_export``.
        article: where to look for the article (``ga4_columns.expressions``).

    Raises:
        LandingError: a column is of another type than Google's.
    """
    keys = ga4_columns.keys(article)

    def taken(part: Slice) -> Slice:
        with timer('flatten'):
            return _with_parameters(file, part, keys)

    def flat(part: Slice) -> Slice:
        with timer('flatten'):
            return replace(part, rows=_flat(part.rows, article))

    return map(flat, gathered(map(taken, parts)))


def _with_parameters(file: LandingFile, part: Slice, keys: Sequence[str]) -> Slice:
    """A slice with the texts of some parameters, in the column ``event_params``, instead of all of them."""
    rows, lines = part.rows.select(name for name in part.rows.columns if name in _SHAPE), part.lines
    rejects = [] if part.rejects is None else [part.rejects]
    lists = part.lists.get('event_params')
    kinds = {**rows.schema, **{name: series(name, column[:0]).dtype for name, column in part.lists.items()}}
    for name in _NESTED.keys() & kinds.keys():
        if kinds[name] == pl.String:
            values, is_wrong = decoded(rows[name], _NESTED[name])
            if is_wrong.any():
                rejects.append(rejected(name, rows.filter(is_wrong), lines.filter(is_wrong)))
                rows, lines, values = rows.filter(~is_wrong), lines.filter(~is_wrong), values.filter(~is_wrong)
                lists = None if lists is None else lists.filter((~is_wrong).to_arrow())
            rows = rows.with_columns(values)
        elif problem := _unlike(name, kinds[name], _NESTED[name]):
            raise LandingError(f'{file.name}: {problem}; deliver the export as BigQuery writes it')
    if lists is None and isinstance(rows.schema['event_params'], pl.List):
        lists = rows['event_params'].to_arrow(compat_level=pl.CompatLevel.oldest())
    try:
        texts = ga4_parameters.texts_of(lists, keys) if lists is not None else [_nothing(rows.height)] * len(keys)
    except pa.ArrowException as wrong:
        why = printable(str(wrong), 100)
        raise LandingError(
            f'{file.name}: event_params cannot be read ({why}); deliver the export as BigQuery writes it'
        ) from wrong
    found = pl.DataFrame(dict(zip(keys, texts, strict=True))).to_struct('event_params')
    some = pl.concat(rejects, how='diagonal') if rejects else None
    return replace(part, rows=rows.with_columns(found), lines=lines, rejects=some, lists={})


def _flat(rows: pl.DataFrame, article: Sequence[str]) -> pl.DataFrame:
    expressions = ga4_columns.expressions(article)
    parts = {part: None for each in expressions.values() for part in ga4_columns.inside(each)}
    of_pages = _of_pages(rows, [part for part in parts if isinstance(part, PathGroup)])
    return pl.DataFrame({name: _texts(each, rows, of_pages) for name, each in expressions.items()})


# Not inside of the one above: a function that calls itself there keeps the rows of a slice until Python looks for circles.
def _texts(part: Expression, rows: pl.DataFrame, of_pages: pl.DataFrame) -> pl.Series:
    match part:
        case Instant(field):
            return _instants(_field(rows, field.place))
        case Field(place):
            return _text(_field(rows, place))
        case Parameter(key):
            return _inside(rows['event_params'], key)
        case Host(_):
            return of_pages['host']
        case PathGroup(_, expression):
            return of_pages[f'path:{expression}']
        case FirstThere(of):
            return _first_there([_texts(each, rows, of_pages) for each in of])
        case FirstFilled(of):
            return _first_filled([*(_texts(each, rows, of_pages) for each in of), _nothing(rows.height)])


def _of_pages(rows: pl.DataFrame, groups: list[PathGroup]) -> pl.DataFrame:
    """``host`` and what each expression finds, of every page; each address is looked at once, because events share it."""
    page = _inside(rows['event_params'], ga4_columns.PAGE.key)
    seen = pl.DataFrame({'page': page.unique()}).with_columns(
        pl.col('page').str.extract(ga4_columns.HOST_OF).str.to_lowercase().alias('host'),
        pl.col('page').str.extract(ga4_columns.PATH_OF).alias('path'),
    )
    seen = seen.with_columns(
        pl.col('path').str.extract(group.expression).alias(f'path:{group.expression}') for group in groups
    )
    return pl.DataFrame({'page': page}).join(seen, on='page', how='left', maintain_order='left')


def _first_there(texts: list[pl.Series]) -> pl.Series:
    first, *others = texts
    for other in others:
        first = first.zip_with(first.is_not_null(), other)
    return first


def _first_filled(texts: list[pl.Series]) -> pl.Series:
    """The first text that is there and not empty."""
    return pl.select(pl.coalesce(pl.when(text != '').then(text) for text in texts)).to_series()


def _field(rows: pl.DataFrame, place: tuple[str, ...]) -> pl.Series:
    """A field inside of groups, null where one of them is not there."""
    name, *inner = place
    values = rows[name] if name in rows.columns else _nothing(rows.height)
    for part in inner:
        values = _inside(values, part)
    return values


def _inside(values: pl.Series, name: str) -> pl.Series:
    kind = values.dtype
    if isinstance(kind, pl.Struct) and any(field.name == name for field in kind.fields):
        return values.struct.field(name)
    return _nothing(len(values))


def _nothing(rows: int) -> pl.Series:
    return pl.Series([None], dtype=pl.String).new_from_index(0, rows)


def _text(values: pl.Series) -> pl.Series:
    return values if values.dtype == pl.String else values.cast(pl.String)


def _instants(values: pl.Series) -> pl.Series:
    """Microseconds since 1970 as ISO 8601 in UTC; what is none stays as it is, and its row is rejected for that."""
    if isinstance(values.dtype, pl.Datetime):
        micros = values.dt.epoch('us')
    else:
        micros = values.cast(pl.Int64, strict=False)
        micros = pl.select(pl.when(micros.is_between(0, LAST_MICROSECOND)).then(micros)).to_series()
    # pyarrow writes them in a third of polars' time, if it need not think of a zone.
    instants = pl.Series(pc.cast(micros.to_arrow().cast(pa.timestamp('us')), pa.string())) + 'Z'
    if micros.null_count() > values.null_count():
        return instants.zip_with(instants.is_not_null(), _text(values))
    return instants


def decoded(texts: pl.Series, kind: pl.DataType) -> tuple[pl.Series, pl.Series]:
    """What JSON texts hold, and which of them do not hold that."""
    deep = (texts.str.len_bytes() > _SURELY_FLAT).fill_null(False)
    if not deep.any():
        return _decoded(texts, kind)
    deep &= texts.str.count_matches(r'[\[{]').fill_null(0) > _SURELY_FLAT // 2
    too_deep = pl.Series([at and is_too_deep(text) for at, text in zip(deep, texts, strict=True)], dtype=pl.Boolean)
    values, is_wrong = _decoded(pl.select(pl.when(~too_deep).then(texts)).to_series(), kind)
    return values, is_wrong | too_deep


def _decoded(texts: pl.Series, kind: pl.DataType) -> tuple[pl.Series, pl.Series]:
    try:
        return texts.str.json_decode(kind), pl.Series([False]).new_from_index(0, len(texts))
    except pl.exceptions.ComputeError:
        if len(texts) == 1:
            return pl.Series(texts.name, [None], kind), pl.Series([True])
    half = len(texts) // 2
    (first, wrong), (second, more) = _decoded(texts[:half], kind), _decoded(texts[half:], kind)
    return first.append(second), wrong.append(more)


def rejected(name: str, rows: pl.DataFrame, lines: pl.Series, reason: str = _OTHER_SHAPE) -> pl.DataFrame:
    """Rejects of these rows because of the column ``name``."""
    told = pl.struct(
        pl.lit(name).alias('column'),
        pl.col(name).alias('value'),
        pl.lit(reason).alias('reason'),
        pl.struct(rows.columns).alias('row'),
    )
    return rows.select(told.struct.json_encode().alias('_reject')).with_columns(lines.cast(pl.Int64).alias('_line'))


def _unlike(name: str, kind: _Kind, wanted: _Kind) -> str | None:
    """What is not of Google's shape in a column, in a sentence; None if nothing is. Fields may lack, and be empty."""
    if kind == pl.Null:
        return None
    if isinstance(wanted, pl.List):
        if not isinstance(kind, pl.List):
            return f"{name} is {_told(kind)}, in Google's export {_told(wanted)}"
        return _unlike(name, kind.inner, wanted.inner)
    if isinstance(wanted, pl.Struct):
        if not isinstance(kind, pl.Struct):
            return f"{name} is {_told(kind)}, in Google's export {_told(wanted)}"
        inner, known = kind.to_schema(), wanted.to_schema()
        if inner and not inner.keys() & known.keys():
            return f"{name} is {_told(kind)}, in Google's export {_told(wanted)}"
        wrong = (_unlike(f'{name}.{field}', inner[field], known[field]) for field in inner.keys() & known.keys())
        return next(filter(None, wrong), None)
    return f"{name} is {_told(kind)}, in Google's export a single value" if kind.is_nested() else None


def _told(kind: _Kind) -> str:
    """A type in a few words: whole ones of the export fill a page."""
    if isinstance(kind, pl.List):
        return f'a list of {_told(kind.inner)}'
    return f'a group of {", ".join(kind.to_schema())}' if isinstance(kind, pl.Struct) else str(kind)
