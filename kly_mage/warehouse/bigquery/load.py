"""A load: rows are staged by a load job, and a script of one transaction gives each its place."""

import json
import logging
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

import polars as pl

from kly_mage.common.errors import LimitError, ReadAgainError, UnreachableError, WarehouseError, first_line
from kly_mage.common.settings import Settings
from kly_mage.common.window import today
from kly_mage.declared.base import Source
from kly_mage.warehouse.bigquery import contents, correcting, fixed, ga4_tables, persons, rules, unchanged
from kly_mage.warehouse.bigquery.at_work import signed
from kly_mage.warehouse.bigquery.client import Client
from kly_mage.warehouse.bigquery.correcting import Delivered
from kly_mage.warehouse.bigquery.load_script import failed_script, load_script
from kly_mage.warehouse.bigquery.schema import COUNTS
from kly_mage.warehouse.bigquery.staging import Staged, written
from kly_mage.warehouse.bigquery.text import identifier, is_name
from kly_mage.warehouse.counts import Counts
from kly_mage.warehouse.ledger import CORRECTED
from kly_mage.warehouse.request import Request

logger = logging.getLogger('kly_mage')


def load(settings: Settings, client: Client, request: Request, frames: Iterable[pl.DataFrame]) -> dict[str, Any]:
    """Insert the rows that are new, quarantine those that cannot be used, and write the ledger: all or nothing.

    Returns:
        What ``warehouse/postgres/load.py`` returns.

    Raises:
        ReadAgainError: a file was not read that has to be.
        RuleError: rows break a ``stop`` rule of the source, or their number or age does.
        LimitError: a file brings a column that BigQuery cannot call so.
    """
    refuse(request)

    def stage(table: str) -> tuple[Request, Staged]:
        with written(request, frames, partial(persons.unnamed, client, request.source)) as (path, staged):
            if staged.rows:
                client.load(path, table, staged.columns, table.replace('staging.', 'stage_'))
            else:
                columns = ', '.join(f'{identifier(name)} {kind}' for name, kind in staged.columns)
                client.run(f'create table {table} ({columns})', what='stage')
            return request.as_read(staged.states), staged

    return _placed(settings, client, request, stage)


def load_in_place(settings: Settings, client: Client, request: Request) -> dict[str, Any]:
    """The same of rows that stand in BigQuery already.

    Raises:
        RuleError: as for ``load``.
        UsageError: a rule is written in a way that BigQuery reads otherwise.
    """
    refuse(request)
    return _placed(settings, client, request, lambda table: ga4_tables.stage(settings, client, request, table))


def _placed(
    settings: Settings, client: Client, request: Request, stage: Callable[[str], tuple[Request, Staged]]
) -> dict[str, Any]:
    """Have rows staged, and give them their places."""
    source, load_id = request.source, time.time_ns() // 1000
    table = f'staging.{source.name}_{load_id}'
    try:
        with signed(client, request, load_id):
            if request.is_export:
                fixed.agree(client, settings)
            request, staged = stage(table)
            read = [file for file in request.files if file.name not in staged.left_out]
            delivered = Delivered.of(source, staged.deliveries, read, request.window, settings.late_days)
            script = load_script(
                *(source, load_id, staged, request.undeclared),
                known=_columns(client, source, request.undeclared),
                delivered=delivered,
                window=request.window,
                now=(now := today(settings.timezone)),
                timezone=settings.timezone,
            )
            values = _values(request, staged) | correcting.parameters(delivered, source)
            values |= contents.parameters(request.files, settings.late_days) | unchanged.parameters(staged.announced)
            (told,) = client.run(script, values, what='load', name=f'{source.name}_{load_id}')
            _hold(source, told['read_again'])
            rules.hold(source, now, told['stopped'])
    except BaseException as error:
        if isinstance(error, ReadAgainError):
            client.run(unchanged.dropped(source.name, 'file in unnest(@names)'), {'names': error.files}, what='files')
        _fail(client, request, load_id, error)
        raise
    finally:
        client.drop(table)
    return _done(request, load_id, told, staged)


def _hold(source: Source, read_again: str | None) -> None:
    """See that files were rightly not read.

    Args:
        read_again: what a script has left in ``v_read_again``.

    Raises:
        ReadAgainError: they were not.
    """
    if read_again is not None:
        files: list[str] = json.loads(f'[{read_again}]')
        raise ReadAgainError(f'{source.name}: what earlier loads have had of {files[0]} does not say enough any more', files)


def refuse(request: Request) -> None:
    """Refuse columns that BigQuery cannot have, before anything is written.

    Raises:
        LimitError: see ``load``.
    """
    source = request.source
    lower = [name.lower() for name in (*source.names, *request.undeclared)]
    for name in request.undeclared:
        if not is_name(name) or lower.count(name.lower()) > 1:
            raise LimitError(f'{source.name}: BigQuery cannot have a column {name!r} there: rename it in the files')


def _columns(client: Client, source: Source, undeclared: list[str]) -> set[str]:
    """Have the columns that files bring beside the declared ones; no transaction of BigQuery may add any.

    A client that dies behind it leaves columns without a value, which change no hash.

    Returns:
        The columns of bronze, in lower case; none where the load need not know them.
    """
    table = f'bronze.{source.name}'
    known = client.columns(table) if undeclared or source.holds_whole_days else set()
    if new := [name for name in sorted(undeclared) if name.lower() not in known]:
        added = ', '.join(f'add column if not exists {identifier(name)} string' for name in new)
        client.run(f'alter table {table} {added}', what='columns')
    return known.union(name.lower() for name in undeclared)


def _values(request: Request, staged: Staged) -> dict[str, Any]:
    files = [file for file in request.files if file.name not in staged.left_out]
    if request.source.any_day:  # such a file is not read again: only those whose rows this load has had
        files = [file for file in files if staged.states.get(file.name) == file.modified_at]
    return {
        'start': request.window.start,
        'end': request.window.end,
        'started_by': request.started_by,
        'pipeline_run': request.pipeline_run,
        'file_names': [file.name for file in files],
        'file_sizes': [str(file.size) for file in files],
        'file_times': [_instant(file.modified_at) for file in files],
        'named': [file.name for file in request.files],
        'named_days': [str(file.day or '') for file in request.files],
        'read': [file.name for file in files],
        'found': request.found,
        'left_out': list(staged.left_out),
        'reasons': json.dumps(staged.left_out, ensure_ascii=False),  # which a query reads (queries/files_of_load.sql)
    }


def _instant(moment: datetime) -> str:
    return moment.isoformat(sep=' ')


def _fail(client: Client, request: Request, load_id: int, error: BaseException) -> None:
    """Say in the ledger why the load failed; if not even that works, its error is all that is said."""
    if isinstance(error, UnreachableError):  # it would meet this statement as well
        return
    name = request.source.name
    values: dict[str, Any] = {'start': request.window.start, 'end': request.window.end}
    values |= {'started_by': request.started_by, 'pipeline_run': request.pipeline_run, 'error': first_line(error)}
    try:
        client.run(failed_script(request.source, load_id), values, what='failed', name=f'{name}_{load_id}')
    except WarehouseError as second:
        logger.info('load %s of %s failed, and the ledger cannot be told: %s', load_id, name, second)


def _done(request: Request, load_id: int, told: dict[str, Any], staged: Staged) -> dict[str, Any]:
    counts = Counts(money_read=Decimal(0) if request.source.money_columns else None)
    for part in (*COUNTS, *CORRECTED):
        if part != 'distinct':
            setattr(counts, f'rows_{part}', told[f'rows_{part}'])
    counts.rejects_accepted, counts.conflicts_accepted = told['rejects_accepted'], told['conflicts_accepted']
    if request.source.money_columns:
        counts.money_read = (told['money_read'] or Decimal(0)).normalize()
    done = {'load_id': load_id, 'source': request.source.name, 'days': str(request.window), **counts.summary()}
    done |= {'left_out': staged.left_out, 'files_changed': told['files_changed']}
    done |= {'far_off': [], 'stale': None, 'stale_days': []}  # these are looked for once it is in
    return done | {'final_days': []}
