"""``check-bigquery``: load the sample into BigQuery, into data sets that are dropped again, and say what that shows."""

import argparse

from kly_mage.checks.bigquery import JOB_BYTES, JOBS, SAMPLE, Report, by_what, check, throw_away
from kly_mage.cli import DONE, FAILED, LOOK
from kly_mage.common.console import note, say, say_sentence
from kly_mage.common.errors import UsageError
from kly_mage.common.settings import load_settings
from kly_mage.common.tables import Column, say_table
from kly_mage.common.text import counted
from kly_mage.warehouse.costs import usd

_MARKS = {True: 'yes', False: 'NO', None: '?'}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Only whether to begin."""
    parser.add_argument('--dry-run', action='store_true', help='only say what would be done, and what it can cost at most')


def run(options: argparse.Namespace) -> int:
    """Do it: 1 if something is not as it has to be, 3 if something could not be seen."""
    settings = load_settings()
    if not settings.bigquery_project:
        raise UsageError('which project? set KLY_BIGQUERY_PROJECT; data sets are made in it, and dropped at the end')
    ours = throw_away(settings, SAMPLE)
    most = min(ours.bigquery_max_bytes, JOB_BYTES) * JOBS
    say_sentence(
        f'In {settings.bigquery_project} ({settings.bigquery_location}) the data sets {ours.bigquery_prefix}bronze, …gold, '
        f'…ops and …staging are made; the sample of this repository is loaded into them, twice at once and again; they are '
        f'looked at and dropped. No job is billed for more than {ours.bigquery_max_bytes:,} bytes, and there are at most '
        f'{JOBS}: {usd(most):.2f} USD at most, mostly a tenth of that.'
    )
    if options.dry_run:
        return DONE
    report = check(ours, SAMPLE, note)
    return say_report(report)


def say_report(report: Report) -> int:
    """Print it, on 80 columns; gives the exit code."""
    heads = [Column('looked at'), Column('expected'), Column('found'), Column('right', whole=True)]
    say_table(heads, [[each.what, each.expected, each.found, _MARKS[each.is_right]] for each in report.findings])
    say()
    numbers = by_what(report.jobs)
    rows = [[what, *map(_number, each)] for what, each in numbers.items()]
    totals = ['in all', *(_number(sum(each[n] for each in numbers.values())) for n in range(4))]
    heads = [Column('jobs', whole=True), *(Column(name, right=True) for name in ('number', 'bytes', 'billed', 'slot_ms'))]
    say_table(heads, rows, totals=totals)
    say()
    billed = sum(job.billed for job in report.jobs)
    wrong = sum(each.is_right is False for each in report.findings)
    unseen = sum(each.is_right is None for each in report.findings)
    cost = (
        f'{billed:,} bytes billed, {usd(billed):.2f} USD'
        if billed
        else 'this service tells no bytes, as an emulator does not'
    )
    told = f'{counted(wrong, "finding is", "findings are")} wrong, {unseen:,} could not be seen'
    say_sentence(f'{told}; {cost}')
    return FAILED if wrong else LOOK if unseen or not billed else DONE


def _number(number: int) -> str:
    return f'{number:,}'
