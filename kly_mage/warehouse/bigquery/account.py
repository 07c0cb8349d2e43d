"""The accounts of a reconciliation (``warehouse/account.py``) in BigQuery: rows are staged, one script tells the rest."""

import json
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from kly_mage.common.settings import Settings
from kly_mage.common.window import Window, moved
from kly_mage.declared.base import Source
from kly_mage.declared.marts import MARTS, mart_of
from kly_mage.landing.deliveries import delivery_of, rank
from kly_mage.landing.files import LandingFile
from kly_mage.rows import measures as of_frame
from kly_mage.rows.frames import as_arrow
from kly_mage.rows.persons import Forgotten
from kly_mage.rows.rowhash import undeclared_columns, undeclared_values
from kly_mage.warehouse.account import LINE_BITS, Amiss, Count, Missing
from kly_mage.warehouse.bigquery import costs, file_checks, ga4_tables, persons
from kly_mage.warehouse.bigquery.account_script import Files, account_script, columns, from_table, further
from kly_mage.warehouse.bigquery.client import Client
from kly_mage.warehouse.bigquery.staging import POLARS
from kly_mage.warehouse.bigquery.text import identifier

_Cells = list[Any]
DELIVERIES = 'select file_day, day, kind, named_day from ops.deliveries where source = @source'


@contextmanager
def accounts(client: Client, settings: Settings) -> Iterator['Accounts']:
    """A reconciliation. Two at once are in nobody's way: each leaves its account whole, the later one stays."""
    with costs.noted(client, 'reconcile'):
        yield Accounts(client, settings)


class Accounts:
    """A reconciliation."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client, self._settings = client, settings

    def account(self, source: Source, files: Sequence[LandingFile], window: Window | None) -> 'Account':
        return Account(self._client, self._settings, source, files, window)

    def facts(self, sources: Collection[str], window: Window | None) -> dict[tuple[str, date | None], dict[str, Any]]:
        values: dict[str, Any] = {'sources': list(sources), **_days(window)}
        found = {}
        for row in self._client.run(file_checks.facts_statement(window), values, what='reconcile'):
            row |= {name: json.loads(row[name] or '{}') for name in ('rejects', 'rows_late')}
            found[row['source'], row['day']] = row
        return found

    def days(self, window: Window | None) -> dict[str, dict[date, dict[str, Decimal]]]:
        found: dict[str, dict[date, dict[str, Decimal]]] = {}
        for mart in MARTS:
            rows = self._client.run(file_checks.days_statement(mart, window), _days(window), what='reconcile')
            found[mart.name] = {
                day: {name: Decimal(number) for name, number in numbers.items()}
                for day, numbers in ((row.pop('day'), row) for row in rows)
            }
        return found


class Account:
    """One source: a Parquet file, a table of ``staging``, and what the script has told."""

    def __init__(
        self, client: Client, settings: Settings, source: Source, files: Sequence[LandingFile], window: Window | None
    ) -> None:
        self._client, self._settings, self._source, self._files, self._window = client, settings, source, files, window
        self._columns, self._further, mart = columns(source), further(source), mart_of(source.name)
        self._measures = mart.additive if mart else ()
        self._id = f'reconcile_{source.name}_{time.time_ns() // 1000}'
        self._folder = TemporaryDirectory(prefix='kly_mage-')
        self._path = Path(self._folder.name) / 'rows.parquet'
        self._writer: pq.ParquetWriter | None = None
        self._left_out: list[int] = []
        self._utc_days: tuple[str, str] | None = None
        self._told: dict[str, list[_Cells]] = {}
        # By day of the export and local day: the order of each delivery that ever came into force.
        self._in_force = [
            ((row['file_day'], row['day']), (row['named_day'], rank(source, row['kind'])))
            for row in (client.run(DELIVERIES, {'source': source.name}, what='reconcile') if source.holds_whole_days else ())
        ]

    # --- the files' rows go in ----------------------------------------------------------------------------------------

    def persons(self) -> Forgotten | None:
        return persons.persons(self._client, self._source)

    def days_of_newer(self, file: str) -> list[date]:
        own = delivery_of(self._source, file) if self._in_force else None
        newer = (place for place, order in self._in_force if own and place == own.place(place[1]) and order > own.order)
        return sorted({day for _, day in newer})

    def put(self, rows: pl.DataFrame) -> None:
        hashes = rows['_hashrow'].str.head(8)
        first, last = hashes.min(), hashes.max()
        assert isinstance(first, str)
        assert isinstance(last, str)
        known = self._utc_days or (first, last)
        self._utc_days = min(first, known[0]), max(last, known[1])
        self._write(
            rows.select(
                *('_hashrow', pl.col('_partition_date').alias('day'), _NTH, pl.lit(1).alias('copies')),
                *(
                    pl.col('_outside').alias('is_outside'),
                    pl.col('_superseded').fill_null(value=False).alias('is_superseded'),
                ),
                *(undeclared_values(rows, self._source) if self._source.version_columns else ()),
                *(pl.col(column.name) for column in self._source.version_columns),
                *(of_frame.per_row(measure).alias(measure.name) for measure in self._further),
            )
        )

    def put_rejects(self, rows: pl.DataFrame) -> None:
        self._write(
            rows.select(
                *(pl.coalesce('_partition_date', '_file_day').alias('day'), _NTH, pl.lit(1).alias('copies')),
                *(pl.col('_outside').alias('is_outside'), pl.lit(value=False).alias('is_superseded')),
                pl.col('_reject').alias('reject'),
            )
        )

    def _write(self, rows: pl.DataFrame) -> None:
        """Put rows behind those in the file; what they lack is null there."""
        kinds = {name: POLARS[kind] for name, kind, _ in self._columns}
        frame = rows.select(
            (pl.col(name) if name in rows.columns else pl.lit(None)).cast(kind).alias(name) for name, kind in kinds.items()
        )
        table = as_arrow(frame)
        self._writer = self._writer or pq.ParquetWriter(self._path, table.schema, compression='zstd')
        self._writer.write_table(table)

    def leave_out(self, numbers: list[int]) -> None:
        self._left_out = numbers

    def place(self) -> None:
        table, pairs = f'staging.{self._id}', [(name, kind) for name, kind, _ in self._columns]
        undeclared = undeclared_columns(self._source, self._client.column_names(f'bronze.{self._source.name}'))
        in_place = any(file.is_table for file in self._files)
        files = Files(table, *(self._days_of_tables() if in_place else self._near()), self._left_out)
        script = account_script(self._source, files, undeclared, self._window, self._settings.timezone)
        values: dict[str, Any] = {'file_names': [file.name for file in self._files], **_days(self._window)}
        values['file_days'] = [str(file.day or '') for file in self._files]
        try:
            if self._writer:
                self._writer.close()
                self._client.load(self._path, table, pairs, self._id)
            else:
                made = ', '.join(f'{identifier(name)} {kind}' for name, kind in pairs)
                self._client.run(f'create table {table} ({made})', what='stage')
                if in_place:
                    into = from_table(self._source, files, self._window)
                    ga4_tables.stage_all(self._settings, self._client, self._source, self._files, self._window, into)
            for row in self._client.run(script, values, what='reconcile'):
                self._told.setdefault(row['kind'], []).append(json.loads(row['cells']))
        finally:
            self._client.drop(table)
            self._folder.cleanup()

    def _near(self) -> tuple[date | None, date | None]:
        """The first and the last UTC day of rows; no registry has one from before the year 1."""
        first, last = (_utc_day(digits) for digits in self._utc_days) if self._utc_days else (None, None)
        return (first or date.min, last) if last else (None, None)

    def _days_of_tables(self) -> tuple[date | None, date | None]:
        """The UTC days of the rows that tables may hold: theirs, or one beside them."""
        held = [days for file in self._files if (days := file.days(self._settings.late_days))]
        return moved(min(days.start for days in held), -1), moved(max(days.end for days in held), 1)

    def settle(self) -> None:
        """The script does."""

    # --- counts come out ----------------------------------------------------------------------------------------------

    def delivered(self) -> Iterator[Count]:
        return self._counts('delivered')

    def same_file(self) -> Iterator[Count]:
        return self._counts('same file')

    def waiting(self) -> Iterator[Count]:
        return self._counts('waiting') if self._source.version_columns else iter(())

    def rejects(self) -> Iterator[Count]:
        return self._counts('rejects')

    def stored(self) -> Iterator[Count]:
        return self._counts('stored')

    def in_no_file(self) -> Iterator[Count]:
        return self._counts('in no file')

    def gold(self) -> Iterator[Count]:
        return self._counts('gold')

    def lateness(self) -> list[tuple[date, int, int]]:
        return [(date.fromisoformat(day), int(lag), int(rows)) for day, lag, rows in self._of('late')]

    def _counts(self, kind: str) -> Iterator[Count]:
        for day, place, rows, *amounts in self._of(kind):
            yield Count(_day(day), place, int(rows), tuple(amount and _plain(amount) for amount in amounts))

    def _of(self, kind: str) -> list[_Cells]:
        return self._told.get(kind, [])

    # --- what explains them -------------------------------------------------------------------------------------------

    def days_asked_for(self) -> set[date]:
        return {date.fromisoformat(day) for (day,) in self._of('asked for')}

    def missing(self) -> list[Missing]:
        found = [
            Missing(place, int(file), int(rows), _day(first), _day(last), int(line))
            for place, file, rows, first, last, line in self._of('missing')
        ]
        return sorted(found, key=lambda each: each.file)

    def damaged(self) -> list[Amiss]:
        return self._amiss('damaged')

    def unsourced(self) -> list[tuple[date | None, str, bool]]:
        found = [(_day(day), row, is_known == 'true') for day, row, is_known in self._of('unsourced')]
        return sorted(found, key=lambda each: (each[0] is None, each))

    def not_the_newest(self) -> list[tuple[date | None, str]]:
        return sorted((_day(day), row) for day, row in self._of('newest'))

    def other_versions(self) -> list[Amiss]:
        return self._amiss('versions')

    def _amiss(self, kind: str) -> list[Amiss]:
        found = [Amiss(place, _day(day), int(file), int(line), row) for place, day, file, line, row in self._of(kind)]
        return sorted(found, key=lambda each: (each.day is None, each.day, each.file, each.line))

    def files_as_loaded(self) -> dict[str, tuple[int, datetime]]:
        return {file: (int(size), datetime.fromisoformat(moment)) for file, size, moment in self._of('files')}

    def waiting_for_refresh(self) -> int:
        return sum(int(rows) for (rows,) in self._of('uncounted'))

    def stale_rejects(self) -> int:
        return sum(int(rows) for (rows,) in self._of('stale rejects'))

    def conflicting_in_one_file(self) -> Iterator[list[dict[str, Any]]]:
        words = [column.name for column in self._source.value_columns if column.kind in ('text', 'id')]
        for _, rows in groupby(sorted(self._of('one file'), key=lambda row: row[:3]), key=lambda row: row[:2]):
            told = [
                {**json.loads(undeclared or '{}'), '_at': at, **dict(zip(words, said, strict=True))}
                for _, _, at, undeclared, *said in rows
            ]
            if len({each['_at'] for each in told}) > 1:
                yield told

    # --- what stays ---------------------------------------------------------------------------------------------------

    def keep(self, records: list[dict[str, object]]) -> None:
        values: dict[str, Any] = {'source': self._source.name, **_days(self._window)}
        values['records'] = [json.dumps(record) for record in records]
        self._client.run(file_checks.keep_script(self._window), values, what='reconcile')

    def close(self) -> None:
        self._told.clear()


_NTH = (pl.col('_number').cast(pl.Int64) * (1 << LINE_BITS) + pl.col('_line')).alias('nth')


def _days(window: Window | None) -> dict[str, Any]:
    return {'start': window.start, 'end': window.end} if window else {}


def _day(text: str | None) -> Any:
    return date.fromisoformat(text) if text else None


def _utc_day(digits: str) -> date | None:
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:  # 00000000: it has none
        return None


def _plain(amount: str) -> Decimal:
    """Without zeros behind its last digit."""
    return Decimal(f'{Decimal(amount).normalize():f}')
