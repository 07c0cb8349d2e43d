"""Arguments that several commands take."""

import argparse
from collections.abc import Callable, Sized
from datetime import date, timedelta

from kly_mage.common.errors import UsageError, WindowError
from kly_mage.common.settings import load_settings
from kly_mage.common.window import MOST_DAYS, Window, moved, today
from kly_mage.declared import SOURCES

SHOWN_ROWS = 100  # of a list that may be of any length
_AGO = {'today': 0, 'yesterday': 1}


def add_days(parser: argparse.ArgumentParser) -> None:
    """``--start`` and ``--end``, or ``--last``, for ``window``."""
    parser.add_argument('--start', type=day, metavar='D', help='first day, such as 2025-10-01, yesterday or today')
    parser.add_argument('--end', type=day, metavar='D', help='last day, included; without it the first day alone')
    parser.add_argument('--last', type=number_of('days', MOST_DAYS), metavar='N', help='the last N days, up to yesterday')


def add_source(parser: argparse.ArgumentParser) -> None:
    """``--source``, for ``sources``."""
    names = ', '.join(SOURCES)
    parser.add_argument('--source', type=_source, choices=list(SOURCES), metavar='NAME', help=f'this source only: {names}')


def add_accept(parser: argparse.ArgumentParser) -> None:
    """``--accept`` and ``--by``."""
    parser.add_argument('--accept', type=said, metavar='WHY', help='note that those listed need no further look, and why')
    add_by(parser)


def add_by(parser: argparse.ArgumentParser) -> None:
    """``--by``, for ``who``."""
    parser.add_argument('--by', type=said, metavar='WHO', help='who decides it; without it the user who runs the command')


def accept_command(source: str) -> str:
    """What somebody types who finds a source's day right that is out of the ordinary."""
    return f"python -m kly_mage status --source {source} --accept 'WHY'"


def asked_again(options: argparse.Namespace) -> str:
    """The source and the days that were asked for, to be written behind another command."""
    days = window(options)
    of_days = f' --start {days.start} --end {days.end}' if days else ''
    return (f' --source {options.source}' if options.source else '') + of_days


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """``--quiet``."""
    parser.add_argument('--quiet', action='store_true', help='no progress, only the last line')


def add_shape(parser: argparse.ArgumentParser, *, csv: bool = False) -> None:
    """``--json``, and ``--csv`` where the answer is one table: for programs, nothing else on standard output."""
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument('--json', action='store_true', help='as JSON, whose shape is in docs/json.md')
    if csv:
        shape.add_argument('--csv', action='store_true', help='as CSV, exact')


def add_limit(parser: argparse.ArgumentParser) -> None:
    """``--limit``: how much of a list of any length stands in a table."""
    told = f'so many in the table; without it {SHOWN_ROWS}'
    parser.add_argument('--limit', type=number_of('rows'), default=SHOWN_ROWS, metavar='N', help=told)


def first_of(shown: Sized, count: int) -> str:
    """What follows the count of a list of which only the first are shown; nothing if all are."""
    if len(shown) == count:
        return ''
    return f'; the first {len(shown):,} are shown: --limit N shows more, --json all'


def window(options: argparse.Namespace) -> Window | None:
    """The days asked for; one end alone is one day.

    Raises:
        WindowError: the days end before they start, are more than anybody has, or are asked for in two ways.
    """
    if options.last:
        if options.start or options.end:
            raise WindowError('--last names days of its own: take it, or --start and --end')
        yesterday = _date('yesterday')
        return Window(moved(yesterday, 1 - options.last), yesterday)
    start, end = options.start or options.end, options.end or options.start
    days = Window(_date(start), _date(end)) if start else None
    if days and (days.end - days.start).days >= MOST_DAYS:
        raise WindowError(f'{days} are more than a hundred years: which days are meant?')
    return days


def sources(options: argparse.Namespace) -> list[str]:
    """The names of the sources asked for."""
    return [options.source] if options.source else list(SOURCES)


def who(options: argparse.Namespace) -> str:
    """Who decides it.

    Raises:
        UsageError: nobody is named, and this user has no name.
    """
    import getpass  # only who decides pays for it

    try:
        return str(options.by or getpass.getuser())
    except (KeyError, OSError):  # a container's user need not be known there
        raise UsageError('who is it? this user has no name: --by NAME') from None


def day(text: str) -> date | str:
    """A day as people write it to us. Which one a word means is known with the settings: ``window`` asks for them."""
    if text in _AGO:
        return text
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text!r} is not a day such as 2025-10-01, yesterday or today') from None


def _date(given: date | str) -> date:
    return given if isinstance(given, date) else today(load_settings().timezone) - timedelta(days=_AGO[given])


def number_of(things: str, most: int = 1_000_000_000) -> Callable[[str], int]:
    """Reads a number of days, or of rows."""

    def read(text: str) -> int:
        if not (text.isdecimal() and len(text) <= len(str(most)) and 1 <= int(text) <= most):
            raise argparse.ArgumentTypeError(f'{text!r} is no number of {things} from 1 to {most:,}')
        return int(text)

    return read


def said(text: str) -> str:
    """Something that somebody says, not nothing."""
    if not text.strip():
        raise argparse.ArgumentTypeError('is empty: whoever reads it later has to find something there')
    return text.strip()


def _source(name: str) -> str:
    if name not in SOURCES:
        raise argparse.ArgumentTypeError(f'no source {name!r}: there are {", ".join(SOURCES)}')
    return name
