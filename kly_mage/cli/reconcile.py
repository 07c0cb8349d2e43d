"""``reconcile``: the source files, bronze and gold side by side, per day, to the cent."""

import argparse
import sys
from pathlib import Path

from kly_mage.checks.reconciliation import table as reports
from kly_mage.checks.reconciliation.best import best
from kly_mage.checks.reconciliation.check import reconcile
from kly_mage.checks.reconciliation.findings import verdict
from kly_mage.checks.reconciliation.page import page
from kly_mage.cli import DONE, LOOK
from kly_mage.cli.arguments import add_days, add_quiet, add_source, sources, window
from kly_mage.common.console import document, say, say_sentence
from kly_mage.common.errors import UsageError
from kly_mage.common.output import ensure_writable
from kly_mage.common.settings import load_settings
from kly_mage.common.tables import on_terminal
from kly_mage.loads.progress import progress
from kly_mage.warehouse.choice import warehouse


def arguments(parser: argparse.ArgumentParser) -> None:
    """What to compare, and in which shape to tell it."""
    add_days(parser)
    add_source(parser)
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument('--json', action='store_true', help='as JSON')
    shape.add_argument('--csv', action='store_true', help='as CSV')
    shape.add_argument('--html', metavar='FILE', type=_page, help='as one self-contained page')
    parser.add_argument(
        '--days',
        action='store_true',
        help='every day, not only those that do not add up; in the page every number of it, and the days of articles',
    )
    parser.add_argument(
        '--details',
        action='store_true',
        help='all that is good to know; a terminal gets it folded, a log in full',
    )
    add_quiet(parser)


def run(options: argparse.Namespace) -> int:
    """Print what was found, the verdict last. 3 if anything is not where it belongs, or too much waits."""
    # A machine that reads the result wants no progress beside it, unless somebody looks on.
    with progress(quiet=options.quiet or (not sys.stderr.isatty() and (options.json or options.csv))) as step:
        settings = warehouse(load_settings()).reach()
        report = reconcile(settings, sources(options), window(options), step)
    if options.json:
        document(reports.as_json(report))
    elif options.csv:
        document(reports.as_csv(report))
    elif options.html:
        options.html.write_text(page(report, best(settings, report), every_day=options.days), 'utf-8')
        say(verdict(report))
    else:
        if not options.quiet:
            reports.say_report(report, every_day=options.days, details=options.details or not on_terminal())
        say_sentence(verdict(report))
    return DONE if report.is_good else LOOK


def _page(text: str) -> Path:
    """Where the page goes."""
    try:
        ensure_writable(path := Path(text))
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return path
