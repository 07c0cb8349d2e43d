"""The command line: ``python -m kly_mage COMMAND``.

Exit codes: 0 done, 1 failed, 2 wrong use, 3 done but something needs a look; 130 interrupted, 143 terminated.
What the words for a row and a day mean: docs/words.md.
"""

import argparse
import errno
import gc
import importlib
import logging
import os
import signal
import sys
import traceback
from collections.abc import Iterable
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn, Protocol, cast

from kly_mage import __version__
from kly_mage.cli import DONE, FAILED, INTERRUPTED, TERMINATED, WRONG_USE
from kly_mage.common import interruption, words
from kly_mage.common.console import log_to_stderr, note
from kly_mage.common.cores import threads
from kly_mage.common.errors import KlyError, UsageError, first_line
from kly_mage.common.settings import doubts, environment
from kly_mage.common.text import printable

# What --help says about each; its module, which may import half a second's worth, is needed only by whoever calls it.
COMMANDS = {
    'backfill': 'load a range of days, both ends included, and refresh the marts',
    'fetch': "copy tables of GA4's export in BigQuery, or files of a bucket, into the landing zone",
    'verify': 'recompute gold from bronze and hashes from rows; name every difference',
    'reconcile': 'source files, bronze and gold side by side, to the cent',
    'repair': 'make bronze and gold what the files say, and reconcile again',
    'unload': 'take out what a load brought, or the rows of a file, of days or of a source',
    'forget': "take out a person's rows, and let no load bring them back",
    'show': 'the most read rows of gold.daily_summary, and the totals',
    'export': 'write a table of gold to a Parquet or CSV file',
    'rebuild': 'empty the marts and build them again from bronze',
    'migrate': 'bring the database to this version, also where other commands leave that to a person',
    'pack': 'put the bronze partitions of past months together, one each; any time, beside loads',
    'inspect': 'what a file is taken for before it is loaded, and a mapping to start from',
    'status': 'per source: days loaded, gaps, last load, lateness, rejects',
    'rejects': 'rows that cannot be used, with file, line, column and reason',
    'conflicts': 'rows with the key of another row and other values, until somebody has decided',
    'new-source': 'write the files of a further source, to be filled in',
    'check-bigquery': 'load the sample into data sets of BigQuery that are dropped again, and say what that shows',
    'editor': 'PostgreSQL and the Mage editor on this machine, until Ctrl-C',
    'dashboard': 'the numbers as pages in a browser, on this machine, until Ctrl-C',
    'stop': 'stop the embedded PostgreSQL, and the editor if it runs',
    'psql': "PostgreSQL's shell on the warehouse",
    'env': 'print the POSTGRES_* and PG* settings in use, for a shell to export (the password left out)',
    'completion': 'print what lets a shell complete commands and options',
}

# What is about that server, and on BigQuery says so: what there is instead.
_OF_POSTGRES = {
    'env': 'it prints how that server is reached; BigQuery is reached by KLY_BIGQUERY_PROJECT and gcloud auth',
    'migrate': 'on BigQuery each command makes the tables and columns that are lacking',
    'pack': 'BigQuery looks after its partitions itself',
    'psql': "BigQuery's shell is Google's: bq query --nouse_legacy_sql, or its console",
}
_MATRIX_THREADS = 'OPENBLAS_NUM_THREADS'


class Command(Protocol):
    """A module of this folder."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare what the command takes."""

    def run(self, options: argparse.Namespace) -> int:
        """Do it; gives the exit code."""


class Terminated(BaseException):
    """Somebody wants this process to end (SIGTERM): what is open is rolled back on the way out, as for Ctrl-C."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command and give its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    name = next((word for word in given if not word.startswith('-')), '')
    is_debugged = '--debug' in given
    try:  # from the first import on: half a second in which somebody may press Ctrl-C
        try:
            options = parser([name]).parse_args(given)
        except SystemExit as end:  # after --help or a word it does not know
            return int(end.code or DONE)
        is_debugged = options.debug
        log_to_stderr(logging.DEBUG if is_debugged else logging.WARNING)
        os.environ['PGAPPNAME'] = f'kly_mage {name}'  # whoever waits for us can name us
        if doubt := doubts():
            note(f'warning: {doubt}')
        _refuse_elsewhere(name)
        code = _command(name).run(options)
        sys.stdout.flush()  # a full disk behind it is said here, not when the interpreter ends
        return code
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except (KeyboardInterrupt, Terminated) as signaled:
        return _broken_off(signaled)
    except UsageError as error:
        note(f'error: {error}')
        return WRONG_USE
    except Exception as error:  # noqa: BLE001 -- told, with the traceback if that is asked for
        if is_debugged:
            for line in traceback.format_exc().split('\n'):
                note(line)
        note(f'error: {_message(error)}')
        return FAILED
    except BaseException as error:  # a panic of polars is no Exception
        if type(error).__module__ != 'pyo3_runtime':
            raise
        note(f'error: {_message(error)}')
        return FAILED


def run_as_process() -> NoReturn:
    """Run the command that this process was started for, and end."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors='backslashreplace')  # type: ignore[union-attr]  # a terminal without UTF-8
    try:
        signal.signal(signal.SIGTERM, _terminate)
        interruption.listen()
        code = main()
    except (KeyboardInterrupt, Terminated) as signaled:  # just before or after the command
        code = _broken_off(signaled)
    # Threads of libraries may still be at what was broken off (a file of which the beginning was enough, too), and one that
    # meets the interpreter's end aborts it (134). The end of the process frees everything, faster than the interpreter does.
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


def parser(chosen: Iterable[str], prog: str = 'python -m kly_mage') -> argparse.ArgumentParser:
    """All commands, with the arguments of the chosen ones."""
    found = _Parser(prog=prog, description=str(__doc__).replace('docs/words.md', words.place()))
    found.add_argument('--version', action='version', version=f'kly_mage {__version__}')
    commands = found.add_subparsers(dest='command', required=True, metavar='COMMAND', parser_class=_CommandParser)
    legend = f'What the words for a row and a day mean: {words.place()}'
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text, epilog=legend)
        command.add_argument('--debug', action='store_true', help='show every step, and the traceback of an error')
        if name in chosen:
            _command(name).arguments(command)
    return found


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


class _CommandParser(_Parser):
    """The arguments of one command: whoever mistakes one is shown the others, with what they are for."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """The arguments, of which none may be unknown: the parser around it would only show the names of the commands."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f'unrecognized arguments: {" ".join(unknown)}')
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """End with the help of the command and what is wrong, last, where it is seen."""
        self.print_help(sys.stderr)
        self.exit(WRONG_USE, f'\nerror: {printable(message)}\n')


def _command(name: str) -> Command:
    """The module of a command. While it is imported nothing is looked for that could be freed: all of it stays.

    Nor does numpy, which comes along, start threads for matrices, which nobody here has: they spin for a tenth of a second.
    """
    gc.disable()
    try:
        with threads(_MATRIX_THREADS, 1):  # only here: what a command starts, such as Mage, may have matrices
            return cast(Command, importlib.import_module(f'kly_mage.cli.{name.replace("-", "_")}'))
    finally:
        gc.freeze()  # nor later
        gc.enable()


def _refuse_elsewhere(name: str) -> None:
    if environment().get('KLY_WAREHOUSE') == 'bigquery' and name in _OF_POSTGRES:
        raise UsageError(f'{name} is for PostgreSQL (KLY_WAREHOUSE=postgres): {_OF_POSTGRES[name]}')


def _message(error: BaseException) -> str:
    """One line for a person: our own errors say everything, others say what they are."""
    if isinstance(error, KlyError):
        return str(error)
    said = first_line(error)
    if isinstance(error, MemoryError) or 'memory' in said or 'AllocError' in said:
        return f'out of memory ({said}); nothing half-done was kept: give this process more and run it again'
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f' for {error.filename}' if error.filename else ''
        return f'no space left{where} on this machine ({error.strerror}); make room and run it again'
    return f'{said} ({type(error).__name__}; --debug shows where)'


def _broken_off(signaled: BaseException) -> int:
    """Say so; gives the exit code."""
    word, code = ('interrupted', INTERRUPTED) if isinstance(signaled, KeyboardInterrupt) else ('terminated', TERMINATED)
    note(f'{word}; nothing half-done was kept')
    return code


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)  # once is enough
    raise Terminated
