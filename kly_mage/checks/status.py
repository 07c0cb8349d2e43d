"""What became of each day of a source: loaded, missing, empty, failed. From the ledger and the names of the files alone."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from kly_mage.common.errors import LandingError
from kly_mage.common.settings import Settings
from kly_mage.common.window import MOST_DAYS, Window, moved, today
from kly_mage.declared.base import Source
from kly_mage.landing import files as landing
from kly_mage.landing.deliveries import days_held_before
from kly_mage.landing.files import LandingFile
from kly_mage.landing.readers import is_empty
from kly_mage.warehouse.outside import Outside
from kly_mage.warehouse.postgres import freshness
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.contents import changed_files
from kly_mage.warehouse.postgres.ddl import ensure_schema
from kly_mage.warehouse.postgres.outside import by_load
from kly_mage.warehouse.postgres.standing import (
    files_seen,
    files_with_rejects,
    files_with_rows,
    left_out,
    loads,
    rows_of_days,
    standing,
)
from kly_mage.warehouse.postgres.volume import far_off
from kly_mage.warehouse.standing import Changed, FarOff, Load, Stale, Standing

# State, its sign in the calendar, what it means, whether the day is missing in the warehouse.
STATES = {
    'loaded': ('#', 'loaded', False),
    'incomplete': ('?', 'loaded without a file that may hold rows of it and cannot be used', True),
    'rows outside': ('~', 'loaded without rows of its file: they are of days that it may not hold', True),
    'file changed': ('=', 'loaded; rows that its files held then are gone from them or changed', True),
    'late': ('+', 'loaded; files that may hold rows of it have come or changed since', False),
    'file removed': ('*', 'loaded; its file has been taken out of the landing zone since', False),
    'empty day': ('o', 'loaded; no row is of this day', False),
    'all rejected': ('%', 'no row of its file can be used', True),
    'empty file': ('0', 'its file has no rows', True),
    'missing file': ('-', 'there is no file for it', True),
    'not loaded': ('.', 'its file waits for a load', True),
    'failed': ('x', 'its last load failed', True),
    'never finished': ('!', 'its last load died', True),
    'running': ('>', 'is being loaded', False),
}
_NOTHING = (0, 0)  # rows read, rejected


@dataclass(frozen=True)
class Day:
    """One day of a source.

    Attributes:
        state: one of ``STATES``.
        rows: of that day, as its last load read them; None for articles, which may be of any day.
        load_id: the last load that was asked for it.
        finished_at: when that load ended.
        files: the files of that day.
        detail: why the load failed, or which files are new.
        broken_off: the load after that, which was to load the day again, and why it failed.
    """

    day: date
    state: str
    rows: int | None = None
    load_id: int | None = None
    finished_at: datetime | None = None
    files: tuple[str, ...] = ()
    detail: str = ''
    broken_off: str = ''


@dataclass
class SourceStatus:
    """How a source stands.

    Attributes:
        last_load: number, end and initiator of the last finished load.
        newest_day: the newest day with rows in bronze.
        lag_days: from that day to yesterday: 0 means nothing is due.
        late: distinct rows by days of lateness, as the last reconcile found them.
        rules: new rows of all loads that break a rule, by rule.
        left_out: why files cannot be used, by their names.
        far_off: days with far fewer or more rows than the days around them.
        stale: that nothing new has come for too long.
        provisional: the days with rows whose numbers are not final yet, as the source declares it.
    """

    source: str
    days: list[Day] = field(default_factory=list)
    last_load: dict[str, Any] | None = None
    newest_day: date | None = None
    lag_days: int | None = None
    rejects: int = 0
    conflicts: int = 0
    late: dict[str, int] = field(default_factory=dict)
    rules: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    far_off: list[FarOff] = field(default_factory=list)
    stale: Stale | None = None
    provisional: list[date] = field(default_factory=list)

    @property
    def missing(self) -> list[Day]:
        """The days whose rows are not in the warehouse."""
        return [day for day in self.days if STATES[day.state][2]]

    def record(self) -> dict[str, Any]:
        """Everything, for JSON."""
        told = {
            'missing': [day.day for day in self.missing],
            'far_off': [str(day) for day in self.far_off],
            'stale': self.stale and str(self.stale),
        }
        return asdict(self) | told


def status(settings: Settings, sources: Iterable[Source], window: Window | None = None) -> list[SourceStatus]:
    """How the sources stand, day by day.

    Args:
        settings: with a host (``database.server``).
        window: the days to show; None for all from the first file to the last day that has a file or was asked for.
    """
    ensure_schema(settings)
    chosen = list(sources)
    files = {source.name: _find(source, settings) for source in chosen}
    found = []
    with connect(settings) as connection, connection.cursor() as cursor:
        asked = {source.name: loads(cursor, source) for source in chosen}
        days = window or _range(settings, files, asked)
        for source in chosen:
            of_source = _standing(settings, source, standing(cursor, source))
            left = left_out(cursor, source, files[source.name])
            of_source.left_out = {file.name: reason for file, reason in left.items()}
            if days:
                rows, outside = rows_of_days(cursor, source, days), by_load(cursor, source)
                seen, changed = files_seen(cursor, source), changed_files(cursor, source, days)
                of_days = (rows, seen, left, outside, changed)
                calendar = _Calendar(source, files[source.name], asked[source.name], *of_days, settings)
                calendar.rejected = files_with_rejects(cursor, source)
                calendar.usable, calendar.noted_since = files_with_rows(cursor, source)
                of_source.days = [calendar.of(day) for day in days]
                of_source.far_off = far_off(cursor, source, days)
            if source.finality:
                now = today(settings.timezone)
                of_source.provisional = [d.day for d in of_source.days if d.rows and source.finality.of(d.day) > now]
            of_source.stale = freshness.of_source(cursor, source, settings.timezone, today(settings.timezone), window)
            found.append(of_source)
    return found


class _Calendar:
    """Decides the state of a source's days."""

    def __init__(
        self,
        source: Source,
        files: list[LandingFile],
        loads: list[Load],
        rows: dict[tuple[int, date], tuple[int, int]],
        seen: dict[str, tuple[int, datetime]],
        left_out: dict[LandingFile, str],
        outside: dict[int, list[Outside]],
        changed: list[Changed],
        settings: Settings,
    ) -> None:
        self.source, self.files, self.loads, self.rows, self.settings = source, files, loads, rows, settings
        self.undated = any(file.day is None for file in files)
        self.seen, self.left_out, self.outside = seen, left_out, outside
        self.changed, self.rejected, self.usable = changed, set[str](), set[str]()
        self.noted_since: int | None = None
        here = {file.name for file in files}
        self.gone: dict[date | None, list[str]] = {}
        for name in sorted(set(seen) - here):
            self.gone.setdefault(landing.day_in_name(source, name), []).append(name)

    def of(self, day: date) -> Day:
        """The state of one day."""
        own = [file for file in self.files if file.day == day]
        if self.source.whole_days:  # a later file may hold it
            own = own or [file for file in self.files if day in days_held_before(self.source, [file.name])]
        names = tuple(file.name for file in own)
        asked = [load for load in self.loads if load.start <= day <= load.end]
        taken_out = max((load.load_id for load in asked if load.status == 'unload'), default=0)
        asked = [load for load in asked if load.load_id > taken_out and load.status != 'withdrawn']
        done = next((load for load in reversed(asked) if load.status == 'done'), None)
        last = asked[-1] if asked else None
        broken = last if last and last.status != 'done' and not last.alive else None

        def found(state: str, detail: str = '', load: Load | None = None) -> Day:
            load = load or done
            if broken and (load is None or state in ('late', 'not loaded')):  # what it was to bring is not there
                load, state = broken, 'failed' if broken.status == 'failed' else 'never finished'
                detail = broken.error or ''
            if load is None:
                return Day(day, state, files=names, detail=detail)
            rows = None if self.source.any_day else self.rows.get((load.load_id, day), _NOTHING)[0]
            again = f'load {broken.load_id}: {broken.error or "it died"}' if broken and load is done else ''
            return Day(day, state, rows, load.load_id, load.finished_at, names, detail, again)

        if last and last.alive:
            return found('running', '', last)
        if broken and not done:
            return found('failed')
        if own and all(is_empty(file) for file in own):
            return found('empty file')
        gone = self._gone(day, done, still=bool(own))
        if not own and not gone and not self.undated:
            return found('missing file')
        left_out = [
            f'{file.name}: {reason}'
            for file, reason in self.left_out.items()
            if (days := file.days(self.settings.late_days)) is None or days.start <= day <= days.end
        ]
        if done and left_out:
            return found('incomplete', '; '.join(left_out))
        if self.source.any_day:
            return self._of_articles(own, gone, done, found)
        if done is None:
            return found('not loaded' if own or self.undated else 'missing file')
        near = landing.files_for(self.files, Window(day, day), self.settings.late_days)
        if own and not any(file.name in done.files for file in own):  # it came after the load that wanted it
            return found('not loaded', ', '.join(names))
        new = [file.name for file in near if done.files.get(file.name) != (file.size, file.modified_at)]
        if new:
            return found('late', ', '.join(new))
        if changed := [str(each) for each in self.changed if each.day == day]:
            return found('file changed', '; '.join(changed))
        if left := [str(each) for each in self.outside.get(done.load_id, ()) if each.file in names]:
            return found('rows outside', '; '.join(left))
        if gone:
            return found('file removed', ', '.join(gone))
        read, rejected = self.rows.get((done.load_id, day), _NOTHING)
        without_day = read == rejected and self.rejected.intersection(names)  # a row without a readable day is of no day
        if without_day or self._all_rejected(names, done):
            return found('all rejected')
        return found('loaded' if read else 'empty day')

    def _gone(self, day: date, done: Load | None, *, still: bool) -> list[str]:
        """The files of a day that were loaded and are not there any more.

        Args:
            still: whether there are others, which may have taken their place: then what the last load has not seen any
                more is forgotten.
        """
        seen = done.files if done else {}
        gone = [name for name in self.gone.get(day, []) if not still or name in seen]
        if done and self.rows.get((done.load_id, day)):
            gone += [name for name in self.gone.get(None, []) if name in seen]
        return gone

    def _all_rejected(self, names: Iterable[str], done: Load | None) -> bool:
        """Whether each of a day's own files has rejects and no usable row: late rows in other files make no day of it.

        Loads before the first that noted what files held have not left enough to say so.
        """
        if not done or self.noted_since is None or done.load_id < self.noted_since:
            return False
        own = set(names)
        return bool(own) and own <= self.rejected and not own & self.usable

    def _of_articles(self, own: list[LandingFile], gone: list[str], done: Load | None, found: Any) -> Day:
        """Articles are loaded file by file, whatever their day."""
        waiting = [file.name for file in own if file.name not in self.seen]
        if waiting:
            return found('not loaded', ', '.join(waiting))  # type: ignore[no-any-return]
        changed = [file.name for file in own if self.seen[file.name] != (file.size, file.modified_at)]
        if others := [str(each) for each in self.changed if each.file in {file.name for file in own}]:
            return found('file changed', '; '.join(others))  # type: ignore[no-any-return]
        if changed:
            return found('late', ', '.join(changed))  # type: ignore[no-any-return]
        if self._all_rejected((file.name for file in own), done):
            return found('all rejected')  # type: ignore[no-any-return]
        return found('file removed', ', '.join(gone)) if gone else found('loaded')  # type: ignore[no-any-return]


def _find(source: Source, settings: Settings) -> list[LandingFile]:
    try:
        return landing.find_files(source, settings.data_dir, settings.timezone, settings.mapping)
    except LandingError:
        if not settings.data_dir.is_dir():
            raise
        return []  # nothing was ever delivered: every day is missing


def _range(settings: Settings, files: dict[str, list[LandingFile]], loads: dict[str, list[Load]]) -> Window | None:
    dated = [file.day for of_source in files.values() for file in of_source if file.day]
    left = [load for of_source in loads.values() for load in of_source if load.status not in ('withdrawn', 'unload')]
    done = [load for load in left if load.finished_at]
    first = min(dated or [load.start for load in done], default=None)
    if first is None:
        return None
    zone = ZoneInfo(settings.timezone)
    asked = [min(load.end, load.finished_at.astimezone(zone).date()) for load in done if load.finished_at]
    last = max([first, *dated, *asked])
    return Window(max(first, moved(last, -MOST_DAYS)), last)  # a load of the year 1 is no calendar of two millennia


def _standing(settings: Settings, source: Source, found: Standing) -> SourceStatus:
    lag = None
    if found.newest_day:
        lag = max((today(settings.timezone) - found.newest_day).days - 1, 0)
    return SourceStatus(source.name, lag_days=lag, **vars(found))
