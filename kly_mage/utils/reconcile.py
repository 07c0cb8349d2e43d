"""Reconciliation: every row and every cent of the source files, found again in bronze and in gold, or missed by name.

The files are read afresh, slice by slice, and hashed as a load hashes them; what they hold goes into temporary tables
of the warehouse, and set-based joins say where each row is. Memory follows the slice, never the file or the history.
The ledger is not summed up here: in a re-run, a copy of a known row counts as known, so its counts are those of a load,
not of the files. What the ledger does know is which load looked at which day and file, and that is what it is asked.

Each row of a file is in exactly one place:

- ``equal``: repeats a row that another line has already delivered
- ``bronze``: stands in bronze as the file has it
- ``conflict``: stands in the conflicts table: a row in bronze shares its hash and has other numbers
- ``rejected``: stands in ``bronze.rejects``
- ``absent``: was not loaded (yet)
- ``outside``: is dated outside the days its file may hold, so no load takes it
- ``lost``: was loaded, but its bronze row is gone
- ``tampered``: was loaded, but its bronze row was changed afterwards

and gold holds ``bronze``, what has been put into bronze without any file (``unsourced``), and the restatements applied.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from kly_mage.utils import casting, landing, rowhash
from kly_mage.utils.database import connect, copy
from kly_mage.utils.errors import LandingError
from kly_mage.utils.frames import Frames
from kly_mage.utils.landing import LandingFile
from kly_mage.utils.schema import bronze_table, conflicts_table, ensure_schema, registry
from kly_mage.utils.settings import Settings
from kly_mage.utils.sources import POSTGRES_TYPES, SOURCES, Source
from kly_mage.utils.window import Window

PLACES = ('equal', 'bronze', 'conflict', 'rejected', 'absent', 'outside', 'lost', 'tampered')
MONEY = 'revenue_usd'


@dataclass(frozen=True)
class Measure:
    """A number that the marts sum up, as one row contributes it.

    Attributes:
        name: its column in the mart.
        frame: from a typed frame.
        stored: from a bronze row, as SQL.
    """

    name: str
    frame: pl.Expr
    stored: str


@dataclass(frozen=True)
class Mart:
    """Where a source's rows end up.

    Attributes:
        table: the mart.
        day: its day column.
        measures: what it sums up; sessions are left out, they do not add up over rows (``verify`` counts them anew).
    """

    table: str
    day: str
    measures: tuple[Measure, ...]


def _events(name: str) -> pl.Expr:
    return (pl.col('event_name') == name).cast(pl.Int32)


MARTS: dict[str, Mart] = {
    'ga4_events': Mart(
        'gold.ga4_daily_summary',
        'event_date',
        (
            Measure('pageviews', _events('page_view'), "(event_name = 'page_view')::int"),
            Measure('user_engagements', _events('user_engagement'), "(event_name = 'user_engagement')::int"),
        ),
    ),
    'gam_delivery': Mart(
        'gold.gam_daily_summary',
        'served_date',
        tuple(Measure(name, pl.col(name), name) for name in ('impressions', 'clicks', MONEY)),
    ),
}


@dataclass
class Line:
    """One source and day: how many rows are in which place, and what they amount to.

    ``rows`` and each of ``sums`` map a place to a number; ``read`` is what the files hold in all, ``stored`` what bronze
    holds, ``unsourced`` what bronze holds and no file does, ``gold`` what the mart says, ``summary`` what
    ``gold.daily_summary`` says.
    """

    source: str
    day: date | None
    rows: dict[str, int] = field(default_factory=dict)
    sums: dict[str, dict[str, Decimal]] = field(default_factory=dict)

    def count(self, place: str, rows: int) -> None:
        """Add rows to a place."""
        self.rows[place] = self.rows.get(place, 0) + rows

    def add(self, measure: str, place: str, amount: Decimal | int | None) -> None:
        """Add an amount to a place."""
        of = self.sums.setdefault(measure, {})
        of[place] = of.get(place, Decimal(0)) + Decimal(amount or 0)

    def sum(self, measure: str, *places: str) -> Decimal:
        """What a measure amounts to in these places together."""
        return sum((self.sums.get(measure, {}).get(place, Decimal(0)) for place in places), Decimal(0))

    @property
    def rows_unexplained(self) -> int:
        """Rows of the files that are in no place: 0, or this program is wrong, or bronze holds a row twice."""
        return self.rows.get('read', 0) - sum(self.rows.get(place, 0) for place in PLACES)

    def gold_difference(self, measure: str) -> Decimal:
        """How far the mart is from what bronze should have given it."""
        return self.sum(measure, 'gold') - self.sum(measure, 'bronze', 'unsourced', 'applied')

    @property
    def adds_up(self) -> bool:
        """Whether nothing is missing, changed, or counted otherwise than it should be."""
        return (
            not any(self.rows.get(place) for place in ('absent', 'outside', 'lost', 'tampered', 'unsourced'))
            and not self.rows_unexplained
            and not any(self.gold_difference(measure) for measure in self.sums)
        )


@dataclass(frozen=True)
class Finding:
    """One thing to know, in one line, with the command that mends it.

    Attributes:
        kind: what sort of thing.
        source: whose, or both of them.
        text: the line.
        command: what mends or shows it; None if nothing has to be done.
        wrong: whether the numbers are not right until it is mended.
    """

    kind: str
    source: str
    text: str
    command: str | None = None
    wrong: bool = True


@dataclass
class Report:
    """What a reconciliation found."""

    window: Window | None
    checked_at: datetime
    lines: list[Line] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def accounted(self) -> bool:
        """Whether every row and every cent is where it belongs."""
        return not any(finding.wrong for finding in self.findings) and all(line.adds_up for line in self.lines)

    def total(self, source: str) -> Line:
        """All days of a source as one line."""
        total = Line(source, None)
        for line in self.lines:
            if line.source == source:
                for place, rows in line.rows.items():
                    total.count(place, rows)
                for measure, places in line.sums.items():
                    for place, amount in places.items():
                        total.add(measure, place, amount)
        return total

    @property
    def sources(self) -> list[str]:
        """The sources looked at, in the order of their declaration."""
        return list(dict.fromkeys(line.source for line in self.lines))

    @property
    def verdict(self) -> str:
        """The last line: whether every cent is accounted for."""
        return _verdict(self)


def reconcile(
    settings: Settings,
    sources: Iterable[str] = tuple(SOURCES),
    window: Window | None = None,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> Report:
    """Read the files again and find every row of them in the warehouse.

    Args:
        settings: with a host (``database.server``).
        sources: their names.
        window: only rows of these days, and only the files a load of these days looks at; None for everything.
        progress: is told source, bytes of its files read so far and bytes in all.
    """
    ensure_schema(settings)
    report = Report(window, datetime.now(UTC))
    with connect(settings) as connection:
        for name in sources:
            _Check(connection, settings, SOURCES[name], report, progress).run()
    report.lines.sort(key=lambda line: (list(SOURCES).index(line.source), line.day is None, line.day or date.min))
    return report


class _Check:
    """The reconciliation of one source."""

    def __init__(
        self,
        connection: Connection,
        settings: Settings,
        source: Source,
        report: Report,
        progress: Callable[[str, int, int], None],
    ) -> None:
        self.connection, self.settings, self.source, self.report, self.progress = (
            connection,
            settings,
            source,
            report,
            progress,
        )
        self.window = report.window
        self.mart = MARTS.get(source.name)
        self.measures = self.mart.measures if self.mart else ()
        self.lines: dict[date | None, Line] = {}
        # What is kept of a row: the columns the hash leaves out, and the measures that are not among them.
        self.values = {column.name: POSTGRES_TYPES[column.kind] for column in source.value_columns}
        self.further = [measure for measure in self.measures if measure.name not in self.values]
        self.kept = [*self.values, *(measure.name for measure in self.further)]

    def run(self) -> None:
        """Fill in the report's lines and findings of this source."""
        files = self._files()
        with self.connection.cursor() as cursor:
            self._tables(cursor)
            self._read(cursor, files)
            self.connection.commit()
            # One snapshot for all that follows: a load that ends meanwhile is not seen by halves.
            cursor.execute('set transaction isolation level repeatable read')
            self._place(cursor)
            self._count_rows(cursor)
            self._count_rejects(cursor)
            self._count_stored(cursor)
            self._count_gold(cursor)
            cursor.execute('drop table fresh, fresh_rejects, versions')
        self.connection.commit()
        self.report.lines += self.lines.values()

    def line(self, day: date | None) -> Line:
        """The line of a day."""
        if day not in self.lines:
            self.lines[day] = Line(self.source.name, day)
            for measure in self.measures:
                self.lines[day].sums[measure.name] = {}
        return self.lines[day]

    def _files(self) -> list[LandingFile]:
        try:
            files = landing.find_files(self.source, self.settings.data_dir, self.settings.timezone)
        except LandingError as error:
            self._found('unreadable', str(error))
            return []
        if self.window and not self.source.any_day:
            return landing.files_for(files, self.window, self.settings.late_days)
        return files

    def _found(self, kind: str, text: str, command: str | None = None, *, wrong: bool = True) -> None:
        self.report.findings.append(Finding(kind, self.source.name, text, command, wrong))

    def _tables(self, cursor: Cursor) -> None:
        kinds = self.values | dict.fromkeys((measure.name for measure in self.further), 'int')
        columns = ''.join(f', "{name}" {kind}' for name, kind in kinds.items())
        cursor.execute(
            f'create temp table fresh (_hashrow uuid, day date, file int, line bigint, is_outside boolean{columns});'
            'create temp table fresh_rejects'
            ' (file text, line bigint, reject text, day date, is_outside boolean, amount numeric)'
        )

    def _read(self, cursor: Cursor, files: list[LandingFile]) -> None:
        """All rows of the files into the temporary tables."""
        done, total = 0, sum(file.size for file in files)
        self.progress(self.source.name, done, total)
        number = 0
        for file, frame in Frames(lambda: self._frames(files)).ahead():  # type: ignore[arg-type, misc]
            while files[number] is not file:
                done, number = done + files[number].size, number + 1
                self.progress(self.source.name, done, total)
            rejected = frame.filter(pl.col('_reject').is_not_null())
            rows = frame.filter(pl.col('_reject').is_null()) if rejected.height else frame
            if rows.height:
                named = rows.select(
                    pl.col('_hashrow').str.decode('hex'),
                    pl.col('_partition_date').alias('day'),
                    pl.lit(number, pl.Int32).alias('file'),
                    pl.col('_line').alias('line'),
                    pl.col('_outside').alias('is_outside'),
                    *(pl.col(name) for name in self.values),
                    *(measure.frame.alias(measure.name) for measure in self.further),
                )
                names = ', '.join(f'"{name}"' for name in named.columns)
                copy(cursor, named, f'fresh ({names})')
            if rejected.height:
                self._read_rejects(cursor, rejected, file)
        self.progress(self.source.name, total, total)

    def _frames(self, files: list[LandingFile]) -> Iterator[tuple[LandingFile, pl.DataFrame]]:
        for file in files:
            frames = landing.read(
                self.source, [file], None, timezone=self.settings.timezone, late_days=self.settings.late_days
            )
            try:
                for frame in frames:
                    rows = self._within(frame, file)
                    if rows.height:
                        yield file, rowhash.add_hashrow(rows, self.source)
            except LandingError as error:
                self._found('unreadable', str(error), 'deliver the file again, then load its days')

    def _within(self, frame: pl.DataFrame, file: LandingFile) -> pl.DataFrame:
        """The rows of the days asked for; ``_outside`` marks those that no load takes from this file."""
        day, own = pl.col('_partition_date'), file.days(self.settings.late_days)
        outside = pl.lit(False)
        if own and not self.source.any_day:
            outside = ~day.is_between(own.start, own.end).fill_null(True)
        frame = frame.with_columns(outside.alias('_outside'))
        if self.window is None:
            return frame
        # A row without a readable day goes with its file, and with any day if the file has none.
        told = pl.coalesce(day, pl.lit(file.day if not self.source.any_day else None, pl.Date))
        return frame.filter(told.is_between(self.window.start, self.window.end).fill_null(True))

    def _read_rejects(self, cursor: Cursor, rows: pl.DataFrame, file: LandingFile) -> None:
        amount = pl.lit(None, casting.MONEY)
        if MONEY in self.source.money_columns:
            text = pl.col('_reject').str.json_path_match(f'$.row.{MONEY}')
            told = rows.select(text.alias(MONEY))
            amount = pl.lit(casting.money(told[MONEY]))
        frame = rows.select(
            pl.col('_file').alias('file'),
            pl.col('_line').alias('line'),
            pl.col('_reject').alias('reject'),
            pl.coalesce('_partition_date', pl.lit(file.day, pl.Date)).alias('day'),
            pl.col('_outside').alias('is_outside'),
            amount.alias('amount'),
        )
        copy(cursor, frame, 'fresh_rejects (file, line, reject, day, is_outside, amount)')

    def _place(self, cursor: Cursor) -> None:
        """Find each distinct version of a row in bronze, the registry and the conflicts table."""
        names = [sql.Identifier(name) for name in self.values]
        same = {
            alias: sql.SQL(' and ').join(
                [sql.SQL('true')]
                + [sql.SQL('{0}.{1} is not distinct from {2}.{1}').format(sql.SQL(alias), n, sql.SQL('v')) for n in names]
            )
            for alias in ('stored', 'known', 'further')
        }
        unchanged = sql.SQL(' and ').join(
            [same['stored'], sql.SQL('stored._partition_date is not distinct from v.day')]
            + [sql.SQL('{} = v.{}').format(sql.SQL(m.stored), sql.Identifier(m.name)) for m in self.further]
        )
        cursor.execute('analyze fresh')
        cursor.execute(
            sql.SQL(
                'create temp table versions as'
                ' with v as ('
                '     select _hashrow, min(day) as day, count(*) as copies, bool_and(is_outside) as is_outside,'
                '         min(file) as file {kept}'
                '     from fresh group by _hashrow {values}'
                ' )'
                " select v.*, case when stored._hashrow is null then 'absent' when {unchanged} then 'bronze' else 'other' end"
                ' as place'
                ' from v left join {bronze} as stored using (_hashrow)'
            ).format(
                kept=sql.SQL('').join(
                    [sql.SQL(', {}').format(n) for n in names]
                    + [sql.SQL(', min({0}) as {0}').format(sql.Identifier(m.name)) for m in self.further]
                ),
                values=sql.SQL('').join(sql.SQL(', {}').format(name) for name in names),
                unchanged=unchanged,
                bronze=bronze_table(self.source),
            )
        )
        statements = [
            sql.SQL(
                "update versions as v set place = case place when 'absent' then 'lost' else 'tampered' end from {} as known"
                " where place in ('absent', 'other') and known._hashrow = v._hashrow and {}"
            ).format(registry(self.source), same['known'])
        ]
        if self.values:
            statements.append(
                sql.SQL(
                    "update versions as v set place = 'conflict' from {} as further"
                    " where place in ('absent', 'other') and further._hashrow = v._hashrow and {}"
                ).format(conflicts_table(self.source), same['further'])
            )
        statements.append(
            sql.SQL("update versions set place = 'tampered' where place = 'other' and {}").format(
                sql.Literal(not self.values)
            )
        )
        statements.append(
            sql.SQL(
                "update versions set place = case when is_outside then 'outside' else 'absent' end"
                " where place in ('absent', 'other')"
            )
        )
        for statement in statements:
            cursor.execute(statement)
        cursor.execute('analyze versions')

    def _count_rows(self, cursor: Cursor) -> None:
        sums = ''.join(f', sum("{m.name}"), sum("{m.name}" * (copies - 1))' for m in self.measures)
        cursor.execute(f'select day, place, count(*), sum(copies - 1){sums} from versions group by day, place')
        for day, place, rows, equal, *amounts in cursor.fetchall():
            line = self.line(day)
            line.count(place, rows)
            line.count('equal', int(equal))
            for measure, once, again in zip(self.measures, amounts[::2], amounts[1::2], strict=True):
                line.add(measure.name, place, once)
                line.add(measure.name, 'equal', again)
        # Counted apart from the places, so that a row in two of them or in none shows.
        sums = ''.join(f', sum("{m.name}")' for m in self.measures)
        cursor.execute(f'select day, count(*){sums} from fresh group by day')
        for day, rows, *amounts in cursor.fetchall():
            line = self.line(day)
            line.count('read', rows)
            for measure, amount in zip(self.measures, amounts, strict=True):
                line.add(measure.name, 'read', amount)

    def _count_rejects(self, cursor: Cursor) -> None:
        cursor.execute(
            """
            select
                fresh.day,
                case when known.reject_id is not null then 'rejected' when is_outside then 'outside' else 'absent' end,
                count(*),
                sum(amount)
            from fresh_rejects as fresh
            left join bronze.rejects as known
                on known.source = %s and known.resolved_at is null
                and known.reject_id = md5(concat_ws(e'\\x1f', fresh.file, fresh.line, fresh.reject))::uuid
            group by 1, 2
            """,
            (self.source.name,),
        )
        for day, place, rows, amount in cursor.fetchall():
            line = self.line(day)
            for name in ('read', place):
                line.count(name, rows)
                if self.source.money_columns:
                    line.add(MONEY, name, amount)

    def _count_stored(self, cursor: Cursor) -> None:
        """What bronze holds by day, and what of it no file holds."""
        sums = sql.SQL('').join(sql.SQL(f', sum({m.stored})') for m in self.measures)
        days = self._days('_partition_date')
        for place, condition in (
            ('stored', sql.SQL('true')),
            ('unsourced', sql.SQL('not exists (select from versions where versions._hashrow = stored._hashrow)')),
        ):
            cursor.execute(
                sql.SQL('select _partition_date, count(*){} from {} as stored where {} and {} group by 1').format(
                    sums, bronze_table(self.source), condition, days
                )
            )
            for day, rows, *amounts in cursor.fetchall():
                line = self.line(day)
                line.count(place, rows)
                for measure, amount in zip(self.measures, amounts, strict=True):
                    line.add(measure.name, place, amount)

    def _count_gold(self, cursor: Cursor) -> None:
        if self.mart is None:
            return
        sums = ', '.join(f'sum({m.name})' for m in self.measures)
        tables = [('gold', self.mart.table, self.mart.day)]
        cursor.execute("select to_regclass('gold.daily_summary') is not null")
        if cursor.fetchone()[0]:
            tables.append(('summary', 'gold.daily_summary', 'date'))
        for place, table, day_column in tables:
            cursor.execute(
                sql.SQL('select {day}, {sums} from {table} where {days} group by 1').format(
                    day=sql.Identifier(day_column), sums=sql.SQL(sums), table=sql.SQL(table), days=self._days(day_column)
                )
            )
            for day, *amounts in cursor.fetchall():
                if any(amounts) or day in self.lines:
                    for measure, amount in zip(self.measures, amounts, strict=True):
                        self.line(day).add(measure.name, place, amount)

    def _days(self, column: str) -> sql.Composable:
        if self.window is None:
            return sql.SQL('true')
        return sql.SQL('coalesce({} between {} and {}, true)').format(
            sql.Identifier(column), sql.Literal(self.window.start), sql.Literal(self.window.end)
        )


def _verdict(report: Report) -> str:
    money = [line for line in report.lines if MONEY in line.sums]
    missing = sum((line.sum(MONEY, 'absent', 'outside', 'lost', 'tampered') for line in money), Decimal(0))
    surplus = sum((line.sum(MONEY, 'unsourced') for line in money), Decimal(0))
    off = sum((abs(line.gold_difference(MONEY)) for line in money), Decimal(0))
    rows = sum(line.rows.get(place, 0) for line in report.lines for place in ('absent', 'outside', 'lost', 'tampered'))
    parts = []
    if missing:
        parts.append(f'{dollars(missing)} of the files is not in gold')
    if surplus:
        parts.append(f'{dollars(surplus)} in gold is in no file')
    if off:
        parts.append(f'gold and bronze differ by {dollars(off)}')
    if parts:
        return 'not accounted for: ' + ', '.join(parts)
    if report.accounted:
        return 'every cent accounted for' if money else 'every row accounted for'
    told = f'{rows:,} rows are' if rows else 'something above is'
    return f'every cent accounted for, but {told} not' if money else f'not accounted for: {told} not where it belongs'


def dollars(amount: Decimal) -> str:
    """An exact amount as people read it: all its digits, at least cents."""
    text = f'{amount.normalize():,f}'
    whole, _, fraction = text.partition('.')
    return f'{whole}.{fraction.ljust(2, "0")} USD'
