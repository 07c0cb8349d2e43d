"""``repair``: bronze and gold become what the files say."""

import argparse

from kly_mage.checks.reconciliation import table as reports
from kly_mage.checks.reconciliation.check import reconcile
from kly_mage.checks.reconciliation.findings import verdict
from kly_mage.checks.reconciliation.repair import repair
from kly_mage.cli import DONE, LOOK
from kly_mage.cli.arguments import add_days, add_quiet, add_source, sources, window
from kly_mage.common.console import note, say
from kly_mage.common.settings import load_settings
from kly_mage.loads.progress import progress
from kly_mage.warehouse.choice import warehouse


def arguments(parser: argparse.ArgumentParser) -> None:
    """What to repair."""
    add_days(parser)
    add_source(parser)
    add_quiet(parser)


def run(options: argparse.Namespace) -> int:
    """Reconcile, repair what differs, reconcile again: that verdict counts. 3 if anything is still not where it belongs."""
    settings, days = warehouse(load_settings()).reach(), window(options)
    with progress(quiet=options.quiet) as step:
        for line in repair(settings, reconcile(settings, sources(options), days, step)):
            note(line)
        report = reconcile(settings, sources(options), days, step)
    if not options.quiet:
        reports.say_report(report)
    say(verdict(report))
    return DONE if report.is_good else LOOK
