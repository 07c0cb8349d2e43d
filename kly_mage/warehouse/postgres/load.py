"""Bronze: one load is one transaction that inserts what is new and accounts for every row it read.

How two loads stay out of each other's way, and a refresh behind both:

- A load locks the table ROW EXCLUSIVE before it looks at the clock; a refresh locks it SHARE, so it waits for loads in
  flight and no load can publish rows stamped before a watermark that has moved on (kly_mage/data_exporters/*.sql).
- ``_updated_at`` is the clock after that lock, and beyond every watermark, should the clock have been set back.
- Equal rows have equal days, so loads lock their days: different days run side by side, and a day loaded twice at once
  waits its turn and then finds the rows known. What loads of different days share (rejects without a day, files) they
  write last and in one order, so nobody waits long or in a circle.
- The primary key of the registry stands behind it all: rows that get past the locks end in a unique violation and a
  second try, never in bronze twice.
"""

import logging
from collections.abc import Iterable
from typing import Any

import polars as pl

from kly_mage.common.errors import LimitError, ReadAgainError
from kly_mage.common.settings import Settings
from kly_mage.common.window import today
from kly_mage.landing.readers import columns
from kly_mage.rows.frames import SLICE_ROWS
from kly_mage.warehouse.postgres import agreed, finality, freshness, ledger, volume
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.ddl import ensure_columns, ensure_partitions, ensure_schema, summarize_partitions
from kly_mage.warehouse.postgres.transaction import Transaction
from kly_mage.warehouse.postgres.unchanged import read_again
from kly_mage.warehouse.request import Request
from kly_mage.warehouse.standing import told_stale

logger = logging.getLogger('kly_mage')


def load(settings: Settings, request: Request, frames: Iterable[pl.DataFrame]) -> dict[str, Any]:
    """Insert the rows that are new, quarantine those that cannot be used, and write the ledger: all or nothing.

    Args:
        frames: hashed and distinct (``rowhash``), each with ``_reject``, ``_partition_date``, ``_delivered_at``, ``_file``
            and ``_line``.

    Returns:
        The load's number, source, days, counts, why files were ``left_out``, by their names, and how many ``files_changed``,
        so that they hold other rows than they were loaded with; which days are ``far_off`` in volume, whether the source is
        ``stale``.

    Raises:
        LimitError: files bring more columns, or rows more values, than PostgreSQL holds.
        RuleError: rows break a ``stop`` rule of the source, or their number or age does.
    """
    source = request.source
    ensure_schema(settings)
    try:
        ensure_columns(settings, source, request.undeclared)
    except LimitError as error:
        raise LimitError(f'{_bringing(request)}: {error}; deliver fewer columns') from None
    ensure_partitions(settings, source)
    summarize_partitions(settings, source)
    if request.is_export:
        agreed.fix(settings)
    load_id = ledger.start(settings, request)
    try:
        with connect(settings) as connection, connection.cursor() as cursor:
            if request.is_export:
                agreed.hold(cursor, settings)
            transaction = Transaction(cursor, source, load_id, request.window)
            for frame in frames:
                for rows in frame.iter_slices(SLICE_ROWS):
                    transaction.insert(rows)
            counts, unchanged = transaction.finish(), transaction.unchanged
            request = request.as_read(transaction.contents.states)
            looked_at = {
                f.name: f.days(settings.late_days)
                for f in request.files
                if f.name not in transaction.left_out and not unchanged.is_skipped(f.name)
            }
            contents, deliveries = transaction.contents, transaction.deliveries
            contents.settle(cursor, load_id, looked_at, request.window, deliveries.may_lose_rows, unchanged.is_skipped)
            deliveries.settle(load_id, contents, looked_at.get, counts, unchanged.unread)
            ledger.finish(cursor, request, load_id, counts, transaction.left_out)
            final = finality.corrected(cursor, source, [load_id])
            far_off = volume.check(cursor, source, request.window)
            stale = freshness.check(cursor, source, request.window, today(settings.timezone))
            kept = unchanged.kept(counts, contents.changed)
            ledger.remember_files(cursor, request, load_id, transaction.files_read, transaction.left_out, kept)
    except BaseException as error:
        ledger.fail(settings, load_id, error)
        if isinstance(error, ReadAgainError) and error.files:
            read_again(settings, source, error.files)
        raise
    done = {'load_id': load_id, 'source': source.name, 'days': str(request.window), **counts.summary()}
    done |= {
        'left_out': transaction.left_out,
        'files_changed': len(contents.changed),
        'far_off': [str(day) for day in far_off],
    }
    done |= told_stale(stale) | {'final_days': [str(day) for day in final]}
    logger.info('%s %s: %s', source.name, request.window, done)
    return done


def _bringing(request: Request) -> str:
    """The file that brings the most undeclared columns."""
    unknown = set(request.undeclared)
    return max(request.files, key=lambda file: len(unknown.intersection(columns(request.source, file)))).name
