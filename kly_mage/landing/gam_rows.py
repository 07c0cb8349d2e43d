"""Rows of Ad Manager's REST API, as ``networks.reports.results.fetchRows`` gives them: whole answers, or one row per line.

A row holds its values in the order of the report's definition and names none, so somebody has to say that order: the
definition stands in the file too, as ``networks.reports.get`` gives it, or in ``landing.toml``.
What the answers say of themselves is held against the rows: how many there are, and whether a further page follows.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import IO, BinaryIO

import polars as pl

from kly_mage.common.errors import LandingError
from kly_mage.common.text import printable
from kly_mage.common.timer import timed
from kly_mage.declared import gam_rest
from kly_mage.declared.base import Source
from kly_mage.declared.currency import DOLLARS
from kly_mage.landing.contents import DAMAGED, damaged, unpacked
from kly_mage.landing.doubles import to_money
from kly_mage.landing.files import LandingFile
from kly_mage.landing.ga4_export import decoded, rejected
from kly_mage.landing.header import not_utf8
from kly_mage.landing.lines import blocks, lines_of
from kly_mage.landing.mapping import in_units
from kly_mage.landing.slices import Slice

TAKES_COLUMNS = False
_LOOK = 64 << 10  # bytes
_SLICE_BYTES, _LONGEST = 4 << 20, 32 << 20  # a line may be a page of 10,000 rows
_MARKS = (b'"metricValueGroups"', b'"reportDefinition"', b'"dateRanges"')

_TEXT = pl.String()
_LISTS = ('stringListValue', 'intListValue', 'doubleListValue')
_SINGLE = ('stringValue', 'intValue', 'doubleValue', 'boolValue')
_VALUE = pl.Struct(dict.fromkeys(_SINGLE, _TEXT) | dict.fromkeys(_LISTS, pl.Struct({'values': pl.List(_TEXT)})))
_ROW = {
    'dimensionValues': pl.List(_VALUE),
    'metricValueGroups': pl.List(pl.Struct({'primaryValues': pl.List(_VALUE)})),
}
_DEFINITION = pl.Struct({'dimensions': pl.List(_TEXT), 'metrics': pl.List(_TEXT), 'currencyCode': _TEXT})
_DOCUMENT = pl.Struct(
    _ROW
    | {'rows': pl.List(pl.Struct(_ROW)), 'totalRowCount': _TEXT, 'nextPageToken': _TEXT, 'runTime': _TEXT}
    | {'reportDefinition': _DEFINITION}
)
_IS_ANSWER = pl.any_horizontal(pl.col('rows', 'runTime', 'totalRowCount').is_not_null())


@dataclass(frozen=True)
class _Definition:
    """The order of values in a row."""

    dimensions: tuple[str, ...]
    metrics: tuple[str, ...]
    currency: str | None

    def named(self, metric: str) -> str:
        """The column of a metric: one of money in another currency than dollars says so, as reports for people do."""
        other = self.currency not in (None, DOLLARS) and metric in gam_rest.MONEY
        return f'{metric} ({self.currency})' if other else metric


def is_rows(file: LandingFile) -> bool:
    """Whether a file of JSON holds such rows, or the answer that there are none."""
    with file.open() as packed:
        try:
            begins = unpacked(file, packed).read(_LOOK)
        except DAMAGED:
            return False  # whoever reads it says so
    return any(mark in begins for mark in _MARKS)


def columns(file: LandingFile) -> list[str]:
    """The dimensions and metrics in their order, those of money with their currency; see ``slices.Reader``."""
    with file.open() as packed:
        definition = _definition(file, packed)
    return [*definition.dimensions, *map(definition.named, definition.metrics)]


def slices(file: LandingFile, names: list[str], source: Source) -> Generator[Slice, None, None]:
    """The rows, all of it text; a line that is neither row nor answer is a reject; see ``slices.Reader``.

    A row's line is that of the file, or its number in it where a line holds many.
    """
    seen, said, follows = 0, set[str](), ''
    with file.open() as packed:
        definition = _definition(file, packed)
        for documents, lines, rejects in timed('read', _documents(file, packed)):
            pages = documents.filter(_IS_ANSWER)
            is_row = documents.select(~_IS_ANSWER & pl.col('dimensionValues').is_not_null()).to_series()
            rows, numbers = documents.filter(is_row).select(*_ROW), lines.filter(is_row)
            if pages.height:
                if rows.height:
                    raise LandingError(
                        f'{file.name}: line {numbers[0]} is a row beside answers that hold rows: deliver one of both'
                    )
                said |= set(pages['totalRowCount'].drop_nulls())
                follows = pages['nextPageToken'].fill_null('').to_list()[-1]
                rows = pages.select(pl.col('rows').explode()).drop_nulls().unnest('rows')
                numbers = pl.int_range(seen + 1, seen + 1 + rows.height, dtype=pl.Int64, eager=True).alias('_line')
            seen += rows.height
            yield Slice(_flat(file, rows, numbers, definition), numbers, rejects)
        file.check(packed)
    if said - {str(seen)}:
        told = printable(', '.join(sorted(said)), 40)
        raise LandingError(f'{file.name}: its answers say {told} rows, and it holds {seen}: deliver all pages, each once')
    if follows:
        raise LandingError(f'{file.name}: its last answer names a further page: deliver all pages')


def is_empty(file: LandingFile) -> bool:
    """No row in all of it; see ``slices.Reader``."""
    if file.size >= _LOOK:
        return False
    with file.open() as packed:
        return b'"dimensionValues"' not in unpacked(file, packed).read(_LOOK)


def _definition(file: LandingFile, packed: BinaryIO) -> _Definition:
    own = file.mapping
    documents, _, _ = next(_documents(file, packed), (pl.DataFrame(schema=_DOCUMENT.to_schema()), None, None))
    found = documents['reportDefinition'].drop_nulls()
    given = found[0] if len(found) else {'dimensions': None, 'metrics': None, 'currencyCode': None}
    dimensions, metrics = own.dimensions if own else (), own.metrics if own else ()
    dimensions, metrics = dimensions or tuple(given['dimensions'] or ()), metrics or tuple(given['metrics'] or ())
    if not dimensions or not metrics:
        raise LandingError(
            f"{file.name}: rows of Ad Manager's API name no columns: say dimensions = ['DATE', …] and metrics = […] in "
            "landing.toml, in the order of the report's definition, or deliver that in the first line"
        )
    return _Definition(dimensions, metrics, given['currencyCode'])


def _documents(file: LandingFile, packed: BinaryIO) -> Iterator[tuple[pl.DataFrame, pl.Series, pl.DataFrame | None]]:
    """What the lines of an opened file hold, the number of each, and rejects of lines that are nothing of the API's.

    A file whose first line is no JSON of its own is one document, as people print it.
    """
    first = next(blocks(file, _from_start(file, packed), _LOOK, _LONGEST), (1, b''))[1].lstrip().partition(b'\n')[0]
    if _decoded(pl.Series('line', [first.decode(errors='replace')]))[1].any():
        yield _document(file, _from_start(file, packed)), pl.Series('_line', [1]), None
        return
    for texts, lines in lines_of(file, _from_start(file, packed), _SLICE_BYTES, _LONGEST):
        documents, is_wrong = _decoded(texts)
        rejects = rejected('line', texts.filter(is_wrong).to_frame(), lines.filter(is_wrong)) if is_wrong.any() else None
        yield documents.filter(~is_wrong), lines.filter(~is_wrong), rejects


def _document(file: LandingFile, stream: IO[bytes]) -> pl.DataFrame:
    try:
        text = stream.read(_LONGEST + 1)
    except DAMAGED as wrong:
        raise LandingError(damaged(file, 1, wrong)) from wrong
    if len(text) > _LONGEST:
        raise LandingError(f'{file.name}: is one JSON document of more than {_LONGEST >> 20} MB: write one row per line')
    try:
        whole = pl.Series('line', [text.decode('utf-8-sig')])
    except UnicodeDecodeError as wrong:
        at = wrong.start
        raise LandingError(not_utf8(file, text.count(b'\n', 0, at) + 1, at - text.rfind(b'\n', 0, at))) from wrong
    documents, is_wrong = _decoded(whole)
    if is_wrong.any():
        raise LandingError(f"{file.name}: is no JSON as Ad Manager's API gives it, or cut short; deliver it again")
    return documents


def _from_start(file: LandingFile, packed: BinaryIO) -> IO[bytes]:
    packed.seek(0)
    return unpacked(file, packed)


def _decoded(texts: pl.Series) -> tuple[pl.DataFrame, pl.Series]:
    """What JSON texts hold, and which of them are neither row, answer nor definition."""
    documents, is_wrong = decoded(texts, _DOCUMENT)
    found = documents.struct.unnest()
    known = found.select(pl.any_horizontal(_IS_ANSWER, pl.col('dimensionValues', 'reportDefinition').is_not_null()))
    return found, is_wrong | ~known.to_series()


def _flat(file: LandingFile, rows: pl.DataFrame, numbers: pl.Series, definition: _Definition) -> pl.DataFrame:
    """The values of rows under the names of the definition.

    Raises:
        LandingError: a row has more or fewer values.
    """
    groups = rows['metricValueGroups']
    _agreed(file, groups.list.len(), 1, numbers, 'ranges of dates')
    metrics = groups.list.first().struct.field('primaryValues')
    _agreed(file, rows['dimensionValues'].list.len(), len(definition.dimensions), numbers, 'dimensions')
    _agreed(file, metrics.list.len(), len(definition.metrics), numbers, 'metrics')
    columns = []
    for place, name in enumerate(definition.dimensions):
        texts = _text(rows['dimensionValues'].list.get(place))
        columns.append((_day(texts) if name == gam_rest.DATE else texts).alias(name))
    for place, name in enumerate(definition.metrics):
        values = metrics.list.get(place)
        columns.append((_money(values) if name in gam_rest.MONEY else _text(values)).alias(definition.named(name)))
    return pl.DataFrame(columns)


def _agreed(file: LandingFile, found: pl.Series, wanted: int, numbers: pl.Series, what: str) -> None:
    other = found.ne_missing(wanted).arg_true()
    if len(other):
        at, there = numbers[other[0]], found[other[0]] or 0
        raise LandingError(f"{file.name}: row {at:,} has {there} {what}, and {wanted} by the report's definition")


def _text(values: pl.Series) -> pl.Series:
    lists = [values.struct.field(name).struct.field('values').list.join(',') for name in _LISTS]
    return pl.select(pl.coalesce(*(values.struct.field(name) for name in _SINGLE), *lists)).to_series()


def _day(texts: pl.Series) -> pl.Series:
    """``20251001`` as ISO 8601; another text stays as it is."""
    return texts.str.replace('^([0-9]{4})([0-9]{2})([0-9]{2})$', '$1-$2-$3')


def _money(values: pl.Series) -> pl.Series:
    """Whole numbers are micros. Others are the shortest decimal that their double has, to the digits that money has."""
    doubles = values.struct.field('doubleValue')
    return pl.select(
        pl.coalesce(to_money(doubles), in_units(values.struct.field('intValue'), 'micros'), _text(values))
    ).to_series()
