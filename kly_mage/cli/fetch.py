"""``fetch``: tables of GA4's export out of BigQuery, as files of the landing zone."""

import argparse

from kly_mage.cli import DONE, LOOK
from kly_mage.cli.arguments import add_days, add_quiet, number_of, window
from kly_mage.common.console import say_sentence
from kly_mage.common.errors import UsageError
from kly_mage.common.settings import load_settings
from kly_mage.common.text import counted
from kly_mage.fetch import ga4
from kly_mage.fetch.bigquery import Dataset
from kly_mage.loads.progress import progress

_NAMED = 3  # days without a table that the last line names


def arguments(parser: argparse.ArgumentParser) -> None:
    """What, which days, and how much."""
    parser.add_argument('what', choices=['ga4'], help='the tables of KLY_GA4_DATASET')
    add_days(parser)
    parser.add_argument(
        '--max-bytes',
        type=number_of('bytes', 10**16),
        metavar='N',
        help='read no more than that; without it KLY_FETCH_MAX_BYTES counts',
    )
    parser.add_argument('--dry-run', action='store_true', help='only say what would be read')
    add_quiet(parser)


def run(options: argparse.Namespace) -> int:
    """Copy them."""
    settings, days = load_settings(), window(options)
    if settings.ga4_dataset is None:
        raise UsageError("which data set? set KLY_GA4_DATASET=PROJECT.analytics_NUMBER, as GA4's BigQuery link names it")
    if days is None:
        raise UsageError('which days? --start 2025-10-01 --end 2025-10-31, or --last 3')
    dataset = Dataset(settings.ga4_dataset)
    found = ga4.plan(dataset, settings.data_dir, days)
    tables, unchanged = counted(len(found.waiting), 'table'), f'{found.unchanged:,} unchanged'
    if options.dry_run:
        told = f'{tables} of {found.bytes:,} bytes would be read, {unchanged}'
    else:
        with progress(quiet=options.quiet) as step:
            rows = ga4.fetch(dataset, settings.data_dir, found, options.max_bytes or settings.fetch_max_bytes, step)
        told = f'{tables} fetched, {counted(rows, "row")}, {unchanged}'
    if found.missing:
        named = ', '.join(map(str, found.missing[:_NAMED])) + (', …' if len(found.missing) > _NAMED else '')
        told += f'; {counted(len(found.missing), "day")} without a table: {named}'
    say_sentence(told)
    return LOOK if found.missing else DONE
