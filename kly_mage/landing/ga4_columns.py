"""What a column of ``ga4_events`` is in GA4's export: one definition, and two ways to run it.

The reader of files runs it on frames (``ga4_export.py``), BigQuery on its own tables as SQL
(``warehouse/bigquery/ga4_select.py``). An expression gives a text; the types come from the declaration, as for any file.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from kly_mage.declared.ga4_events import IDENTITY

PATH = 'path:'
"""Begins an entry of the article list that is a regular expression over the path of ``page_location``."""

HOST_OF = r'^[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?(\[[^\]/?#]*\]|[^:/?#]*)'
"""The host of an address, in any case."""

PATH_OF = r'^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*([^?#]*)'
"""The path of an address."""

LAST_MICROSECOND = 253_402_300_799_999_999
"""Of the year 9999; an instant of the export lies between 1970 and that."""

VALUES = ('string_value', 'int_value', 'double_value', 'float_value')
"""The fields a parameter's value may stand in, in the order they are asked."""


@dataclass(frozen=True)
class Field:
    """A field of an event, inside of groups; nothing where it or one of them is not there."""

    place: tuple[str, ...]


@dataclass(frozen=True)
class Parameter:
    """The text of a parameter, whatever its type: of one that is there twice the first that has a value.

    A whole number is the same text whether a tag sent 123 or 123.0.
    """

    key: str


@dataclass(frozen=True)
class Instant:
    """Microseconds since 1970 as an instant; the row of what is none is rejected for that."""

    field: Field


@dataclass(frozen=True)
class Host:
    """The host of an address, in small letters."""

    of: Parameter


@dataclass(frozen=True)
class PathGroup:
    """The first group of a regular expression over the path of an address."""

    of: Parameter
    expression: str


@dataclass(frozen=True)
class FirstThere:
    """The first that is there."""

    of: tuple['Expression', ...]


@dataclass(frozen=True)
class FirstFilled:
    """The first that is there and not empty."""

    of: tuple['Expression', ...]


Expression = Field | Parameter | Instant | Host | PathGroup | FirstThere | FirstFilled
PAGE = Parameter('page_location')


def expressions(article: Sequence[str]) -> dict[str, Expression]:
    """What each column is.

    Args:
        article: where to look for the article, in this order: the name of a parameter, or ``path:`` and a regular
            expression whose first group is the article. The first that gives a text counts.
    """
    stream, *places = IDENTITY
    return {
        'event_timestamp': Instant(Field(('event_timestamp',))),
        'event_name': Field(('event_name',)),
        'user_pseudo_id': Field(('user_pseudo_id',)),
        'device_category': Field(('device', 'category')),
        'country': Field(('geo', 'country')),
        'traffic_source': Field(('traffic_source', 'source')),
        stream: Field((stream,)),
        **{name: FirstThere((Field((name,)), Parameter(name))) for name in places},
        'session_id': Parameter('ga_session_id'),
        'content_id': FirstFilled(tuple(map(_of_article, article))),
        'site': FirstFilled((Host(PAGE), Field(('device', 'web_info', 'hostname')), Field((stream,)))),
        'page_location': PAGE,
    }


def inside(expression: Expression) -> Iterator[Expression]:
    """An expression, and those it is made of."""
    yield expression
    match expression:
        case FirstThere(parts) | FirstFilled(parts):
            for part in parts:
                yield from inside(part)
        case Host(of) | PathGroup(of, _):
            yield of
        case Instant(field):
            yield field


def places(article: Sequence[str]) -> list[tuple[str, ...]]:
    """The fields that the columns are made of."""
    return list(dict.fromkeys(part.place for part in _parts(article) if isinstance(part, Field)))


def keys(article: Sequence[str]) -> list[str]:
    """The parameters that the columns are made of."""
    return list(dict.fromkeys(part.key for part in _parts(article) if isinstance(part, Parameter)))


def columns(names: Collection[str], declared: Sequence[str]) -> list[str]:
    """The columns of the rows that an export with the columns ``names`` becomes."""
    return [*declared, *(name for name in IDENTITY if name != 'stream_id' or name in names)]


def _parts(article: Sequence[str]) -> Iterator[Expression]:
    for expression in expressions(article).values():
        yield from inside(expression)


def _of_article(entry: str) -> Expression:
    return PathGroup(PAGE, entry.removeprefix(PATH)) if entry.startswith(PATH) else Parameter(entry)
