"""The command line: ``python -m kly_mage COMMAND``.

Exit codes: 0 done, 1 failed, 2 wrong use, 3 done but something needs a look.
"""

import argparse
import gc
import importlib
import logging
import os
import sys
from datetime import date
from typing import Any

from kly_mage.common.console import note
from kly_mage.common.errors import KlyError, UsageError, first_line
from kly_mage.common.settings import doubts
from kly_mage.declared import SOURCES

DONE, FAILED, WRONG_USE, LOOK = 0, 1, 2, 3


def main(arguments: list[str] | None = None) -> int:
    """Run one command and give its exit code."""
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as end:  # after --help or a word it does not know
        return int(end.code or DONE)
    if hasattr(options, 'start') and bool(options.start) != bool(options.end):
        options.start, options.end = options.start or options.end, options.end or options.start
    logging.basicConfig(
        level=logging.DEBUG if options.debug else logging.WARNING, format='%(asctime)s %(levelname)s %(message)s'
    )
    try:
        if doubt := doubts():
            note(f'warning: {doubt}')
        return int(_command(options.command).run(options))
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        sys.stderr.write('interrupted; nothing half-done was kept\n')
        return FAILED
    except UsageError as error:
        sys.stderr.write(f'error: {error}\n')
        return WRONG_USE
    except Exception as error:
        if options.debug:
            raise
        sys.stderr.write(f'error: {_message(error)}\n')
        return FAILED


def _command(name: str) -> Any:
    """The module of a command. While it is imported nothing is looked for that could be freed: all of it stays."""
    gc.disable()
    try:
        return importlib.import_module(f'kly_mage.cli.{name}')
    finally:
        gc.enable()


def _message(error: Exception) -> str:
    """One line for a person: our own errors say everything, others say what they are."""
    if isinstance(error, KlyError):
        return str(error)
    return f'{first_line(error)} ({type(error).__name__}; --debug shows where)'


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument('--debug', action='store_true', help='show every step, and the traceback of an error')
    days = argparse.ArgumentParser(add_help=False)
    days.add_argument('--start', type=_day, metavar='D', help='first day, such as 2025-10-01')
    days.add_argument('--end', type=_day, metavar='D', help='last day, included; without it the first day alone')
    source = argparse.ArgumentParser(add_help=False)
    source.add_argument(
        '--source', type=_source, metavar='NAME', help='this source only: cms_articles, ga4_events or gam_delivery'
    )
    parser = argparse.ArgumentParser(prog='python -m kly_mage', description=__doc__)
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')

    def add(name: str, text: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text, parents=[shared, *parents])

    backfill = add('backfill', 'load a range of days, both ends included, and refresh the marts', days)
    backfill.add_argument(
        '--pipeline', type=_pipeline, metavar='NAME', help='articles_performance or ads_revenue; without it both'
    )
    backfill.add_argument('--via-mage', action='store_true', help='as a Mage backfill on the running server')
    backfill.add_argument('--quiet', action='store_true', help='no progress, only the last line')
    backfill.add_argument('--dry-run', action='store_true', help='list the days and files, load nothing')
    add('verify', 'recompute gold from bronze and hashes from rows; name every difference')
    reconcile = add('reconcile', 'source files, bronze and gold side by side, to the cent', days, source)
    shape = reconcile.add_mutually_exclusive_group()
    shape.add_argument('--json', action='store_true', help='as JSON')
    shape.add_argument('--csv', action='store_true', help='as CSV')
    shape.add_argument('--html', metavar='FILE', help='as one self-contained page')
    reconcile.add_argument('--days', action='store_true', help='every day, not only those that do not add up')
    reconcile.add_argument('--quiet', action='store_true', help='no progress, only the last line')
    reconcile.add_argument('--repair', action='store_true', help='make bronze what the files say, and gold anew')
    add('show', 'the most read rows of gold.daily_summary, and the totals', days)
    add('rebuild', 'empty the marts and build them again from bronze')
    status = add('status', 'per source: days loaded, gaps, last load, lateness, rejects', days, source)
    status.add_argument('--json', action='store_true', help='as JSON')
    rejects = add('rejects', 'rows that cannot be used, with file, line, column and reason', source)
    rejects.add_argument('--retry', action='store_true', help='load those that have become usable')
    add('editor', 'PostgreSQL and the Mage editor on this machine, until Ctrl-C')
    add('stop', 'stop the embedded PostgreSQL, and the editor if it runs')
    add('env', 'print the POSTGRES_* settings in use, for a shell to export (the password left out)')
    return parser


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text!r} is not a day such as 2025-10-01') from None


def _source(name: str) -> str:
    if name not in SOURCES:
        raise argparse.ArgumentTypeError(f'no source {name!r}: there are {", ".join(SOURCES)}')
    return name


def _pipeline(name: str) -> str:
    from kly_mage.loads import runner  # its imports take half a second, which --help need not wait for

    if name not in runner.names():
        raise argparse.ArgumentTypeError(f'no pipeline {name!r}: there are {", ".join(runner.names())}')
    return name


if __name__ == '__main__':
    code = main()
    gc.freeze()  # the end of the process frees everything; what stays until then need not be searched
    sys.exit(code)
