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
from kly_mage.loads.found import find_files
from kly_mage.warehouse.choice import warehouse
from kly_mage.warehouse.standing import FarOff, Held, Load, Stale, Standing

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
        window: the days to show; None for all from the first file to the last day that has a file or was asked for.
    """
    chosen, store = list(sources), warehouse(settings)
    files = {source.name: _find(source, settings) for source in chosen}
    asked = store.loads(chosen)
    days = window or _range(settings, files, asked)
    known = store.held(files, days, window)
    return [_status(settings, source, files[source.name], asked[source.name], known[source.name], days) for source in chosen]


def _status(
    settings: Settings, source: Source, files: list[LandingFile], loads: list[Load], known: Held, days: Window | None
) -> SourceStatus:
    found, now = _standing(settings, source, known.standing), today(settings.timezone)
    found.left_out = {file.name: reason for file, reason in known.left_out.items()}
    if days:
        calendar = _Calendar(source, files, loads, known, settings)
        found.days = [calendar.of(day) for day in days]
    found.far_off, found.stale = known.far_off, known.stale
    if source.finality:
        found.provisional = [day.day for day in found.days if day.rows and source.finality.of(day.day) > now]
    return found


class _Calendar:
    """Decides the state of a source's days."""

    def __init__(self, source: Source, files: list[LandingFile], loads: list[Load], known: Held, settings: Settings) -> None:
        self.source, self.files, self.loads, self.known, self.settings = source, files, loads, known, settings
        self.undated = any(file.day is None for file in files)
        here = {file.name for file in files}
        self.gone: dict[date | None, list[str]] = {}
        for name in sorted(set(known.seen) - here):
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
            rows = None if self.source.any_day else self.known.rows.get((load.load_id, day), _NOTHING)[0]
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
            for file, reason in self.known.left_out.items()
            if (days := file.days(self.settings.late_days)) is None or days.start <= day <= days.end
        ]
        if done and left_out:
            return found('incomplete', '; '.join(left_out))
        if self.source.any_day:
            return self._of_articles(own, gone, done, found)
        if done is None:
            return found('not loaded' if own or self.undated else 'missing file')
        near = landing.files_for(self.files, Window(day, day), self.settings.late_days)
        if own and not any(self._as_read(file, day, done) for file in own):  # it came after the load that wanted it
            return found('not loaded', ', '.join(names))
        new = [file.name for file in near if self._as_read(file, day, done) != (file.size, file.modified_at)]
        if new:
            return found('late', ', '.join(new))
        if changed := [str(each) for each in self.known.changed if each.day == day]:
            return found('file changed', '; '.join(changed))
        if left := [str(each) for each in self.known.outside.get(done.load_id, ()) if each.file in names]:
            return found('rows outside', '; '.join(left))
        if gone:
            return found('file removed', ', '.join(gone))
        read, rejected = self.known.rows.get((done.load_id, day), _NOTHING)
        without_day = read == rejected and self.known.rejected.intersection(names)  # such a row may be of no day
        if without_day or self._all_rejected(names, done):
            return found('all rejected')
        return found('loaded' if read else 'empty day')

    def _as_read(self, file: LandingFile, day: date, done: Load) -> tuple[int, datetime] | None:
        """Size and time of a file as the last load of a day has seen it; of a table as it is, if any load has read it.

        A load leaves out a table whose rows earlier ones have taken, and one that was written again since.
        """
        if not file.is_table:
            return done.files.get(file.name)
        of_day = (load for load in self.loads if load.status == 'done' and load.start <= day <= load.end)
        return (file.size, file.modified_at) if any(file.name in load.files for load in of_day) else None

    def _gone(self, day: date, done: Load | None, *, still: bool) -> list[str]:
        """The files of a day that were loaded and are not there any more.

        Args:
            still: whether there are others, which may have taken their place: then what the last load has not seen any
                more is forgotten.
        """
        seen = done.files if done else {}
        gone = [name for name in self.gone.get(day, []) if not still or name in seen]
        if not self.source.any_day:  # a load of the days before, which has looked into it for late rows, is not its own
            of_day = [load.files for load in self.loads if load.status == 'done' and load.start <= day <= load.end]
            gone = [name for name in gone if any(name in files for files in of_day)]
        if done and self.known.rows.get((done.load_id, day)):
            gone += [name for name in self.gone.get(None, []) if name in seen]
        return gone

    def _all_rejected(self, names: Iterable[str], done: Load | None) -> bool:
        """Whether each of a day's own files has rejects and no usable row: late rows in other files make no day of it.

        Loads before the first that noted what files held have not left enough to say so.
        """
        if not done or self.known.noted_since is None or done.load_id < self.known.noted_since:
            return False
        own = set(names)
        return bool(own) and own <= self.known.rejected and not own & self.known.usable

    def _of_articles(self, own: list[LandingFile], gone: list[str], done: Load | None, found: Any) -> Day:
        """Articles are loaded file by file, whatever their day."""
        waiting = [file.name for file in own if file.name not in self.known.seen]
        if waiting:
            return found('not loaded', ', '.join(waiting))  # type: ignore[no-any-return]
        changed = [file.name for file in own if self.known.seen[file.name] != (file.size, file.modified_at)]
        if others := [str(each) for each in self.known.changed if each.file in {file.name for file in own}]:
            return found('file changed', '; '.join(others))  # type: ignore[no-any-return]
        if changed:
            return found('late', ', '.join(changed))  # type: ignore[no-any-return]
        if self._all_rejected((file.name for file in own), done):
            return found('all rejected')  # type: ignore[no-any-return]
        return found('file removed', ', '.join(gone)) if gone else found('loaded')  # type: ignore[no-any-return]


def _find(source: Source, settings: Settings) -> list[LandingFile]:
    try:
        return find_files(settings, source)
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
