"""``reconcile``: the source files, bronze and gold side by side, per day, to the cent."""

import argparse
import sys
from pathlib import Path

from kly_mage.checks.reconciliation import table as reports
from kly_mage.checks.reconciliation.check import reconcile
from kly_mage.checks.reconciliation.findings import verdict
from kly_mage.checks.reconciliation.page import page
from kly_mage.checks.reconciliation.repair import repair
from kly_mage.common.console import note, say
from kly_mage.common.settings import load_settings
from kly_mage.common.window import Window
from kly_mage.declared import SOURCES
from kly_mage.loads.progress import progress
from kly_mage.warehouse.postgres.server import server


def run(options: argparse.Namespace) -> int:
    """Print what was found, the verdict last. 3 if anything is not where it belongs."""
    window = Window(options.start, options.end) if options.start else None
    sources = [options.source] if options.source else list(SOURCES)
    # A machine that reads the result wants no progress beside it, unless somebody looks on.
    with progress(quiet=options.quiet or (not sys.stderr.isatty() and (options.json or options.csv))) as step:
        settings = server(load_settings())
        report = reconcile(settings, sources, window, step)
        if options.repair:
            for line in repair(settings, report):
                note(line)
            report = reconcile(settings, sources, window, step)
    if options.json:
        say(reports.as_json(report))
    elif options.csv:
        reports.write_csv(report, sys.stdout)
    elif options.html:
        Path(options.html).write_text(page(report), 'utf-8')
        say(verdict(report))
    else:
        if not options.quiet:
            reports.write_table(report, every_day=options.days)
        say(verdict(report))
    return 0 if report.accounted else 3
