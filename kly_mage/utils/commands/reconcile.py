"""``reconcile``: the source files, bronze and gold side by side, per day, to the cent."""

import argparse
import sys

from kly_mage.utils import report as reports
from kly_mage.utils.console import say
from kly_mage.utils.database import server
from kly_mage.utils.findings import verdict
from kly_mage.utils.reconcile import reconcile
from kly_mage.utils.settings import load_settings
from kly_mage.utils.sources import SOURCES
from kly_mage.utils.window import Window


def run(options: argparse.Namespace) -> int:
    """Print what was found, the verdict last. 3 if anything is not where it belongs."""
    window = Window(options.start, options.end) if options.start else None
    sources = [options.source] if options.source else list(SOURCES)
    report = reconcile(server(load_settings()), sources, window)
    if options.json:
        say(reports.as_json(report))
    elif options.csv:
        reports.write_csv(report, sys.stdout)
    else:
        reports.write_table(report)
        say(verdict(report))
    return 0 if report.accounted else 3
