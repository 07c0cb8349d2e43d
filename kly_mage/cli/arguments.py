"""Arguments that several commands take."""

import argparse
from datetime import date

from kly_mage.common.window import Window
from kly_mage.declared import SOURCES


def add_days(parser: argparse.ArgumentParser) -> None:
    """``--start`` and ``--end``, for ``window``."""
    parser.add_argument('--start', type=day, metavar='D', help='first day, such as 2025-10-01')
    parser.add_argument('--end', type=day, metavar='D', help='last day, included; without it the first day alone')


def add_source(parser: argparse.ArgumentParser) -> None:
    """``--source``, for ``sources``."""
    names = ', '.join(SOURCES)
    parser.add_argument('--source', type=_source, choices=list(SOURCES), metavar='NAME', help=f'this source only: {names}')


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """``--quiet``."""
    parser.add_argument('--quiet', action='store_true', help='no progress, only the last line')


def window(options: argparse.Namespace) -> Window | None:
    """The days asked for; one end alone is one day.

    Raises:
        WindowError: the days end before they start.
    """
    start, end = options.start or options.end, options.end or options.start
    return Window(start, end) if start else None


def sources(options: argparse.Namespace) -> list[str]:
    """The names of the sources asked for."""
    return [options.source] if options.source else list(SOURCES)


def day(text: str) -> date:
    """A day as people write it to us."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text!r} is not a day such as 2025-10-01') from None


def _source(name: str) -> str:
    if name not in SOURCES:
        raise argparse.ArgumentTypeError(f'no source {name!r}: there are {", ".join(SOURCES)}')
    return name
