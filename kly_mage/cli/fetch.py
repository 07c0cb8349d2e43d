"""``fetch``: deliveries that are elsewhere, as files of the landing zone: tables of GA4's export, objects of a bucket."""

import argparse
from collections.abc import Sequence

from kly_mage.cli import DONE, LOOK
from kly_mage.cli.arguments import add_days, add_quiet, number_of, window
from kly_mage.common.console import note, say_sentence
from kly_mage.common.errors import UsageError
from kly_mage.common.settings import Settings, load_settings
from kly_mage.common.text import counted
from kly_mage.common.window import Window
from kly_mage.fetch import files, ga4
from kly_mage.fetch.bigquery import Dataset
from kly_mage.fetch.bucket import Bucket
from kly_mage.loads.progress import progress

_NAMED = 3  # of a list of any length that the last line names
_LINES = 20  # of what is refused


def arguments(parser: argparse.ArgumentParser) -> None:
    """What, which days, and how much."""
    told = 'ga4: the tables of KLY_GA4_DATASET; files: the objects of KLY_BUCKET, without days all of them'
    parser.add_argument('what', choices=['ga4', 'files'], help=told)
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
    return _tables(options, settings, days) if options.what == 'ga4' else _files(options, settings, days)


def _tables(options: argparse.Namespace, settings: Settings, days: Window | None) -> int:
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
        told += f'; {counted(len(found.missing), "day")} without a table: {_first(found.missing)}'
    say_sentence(told)
    return LOOK if found.missing else DONE


def _files(options: argparse.Namespace, settings: Settings, days: Window | None) -> int:
    if not settings.buckets:
        raise UsageError('which bucket? set KLY_BUCKET=gs://BUCKET/PREFIX, below which the sources are folders')
    is_asked = files.of_days(days, settings.late_days, settings.timezone) if days else files.any_day
    found = files.plan([Bucket(url) for url in settings.buckets], settings.data_dir, is_asked)
    waiting, told = counted(len(found.waiting), 'file'), f'{found.bytes:,} bytes, {found.unchanged:,} unchanged'
    if options.dry_run:
        told = f'{waiting} would be fetched, {told}'
    else:
        with progress(quiet=options.quiet) as step:
            files.fetch(settings.data_dir, found, options.max_bytes or settings.fetch_max_bytes, step)
        told = f'{waiting} fetched, {told}'
    for line in found.refused[:_LINES]:
        note(line)
    if found.refused:
        told += f'; {len(found.refused):,} refused'
        if len(found.refused) > _LINES:
            told += f', of which the first {_LINES} are named'
    if found.gone:
        told += f'; gone from the bucket, and kept: {counted(len(found.gone), "file")} ({_first(found.gone)})'
    if found.left:
        told += f'; {counted(found.left, "object is no delivery", "objects are no deliveries")}'
    say_sentence(told)
    return LOOK if found.refused else DONE


def _first(things: Sequence[object]) -> str:
    return ', '.join(map(str, things[:_NAMED])) + (', …' if len(things) > _NAMED else '')
