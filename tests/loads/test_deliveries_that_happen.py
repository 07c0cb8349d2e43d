"""The random programs of deliveries are no empty proof: each thing that Google does to a day happens in them, often.

They are gone through without a warehouse: a load only looks at what would count now, and at what counted when its days were
loaded last.
"""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from kly_mage.common.settings import load_settings
from tests.loads.test_deliveries_in_any_order import DAYS, MANY, Program, Row

# What happens, and how often it has to in 250 programs.
FEWEST = {
    'a file is loaded again as it was': 1000,
    'a delivery of several files is loaded': 500,
    'a complete delivery comes after an intraday one': 30,
    'an intraday file comes after a complete delivery': 40,
    'a complete delivery is delivered again': 150,
    'an event is withdrawn': 100,
    'an event is filled in': 40,
    'an event moves to another article': 40,
    'an event moves to another session': 40,
    'an event moves to another day': 25,
    'a withdrawn event comes back': 10,
    'a session loses its last event': 100,
}
STAMP, SESSION, CONTENT, SOURCE = 0, 3, 4, 5  # places of a row


class Sketch(Program):
    """A program without a warehouse, which counts what its loads would meet."""

    def __init__(self, seed: int, landing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = replace(load_settings(), data_dir=landing)
        super().__init__(seed, settings, lambda *_: [], monkeypatch)
        self.happened: Counter[str] = Counter()
        self.loaded: dict[tuple[int, int], set[Row]] = {}  # what counted, by day of the export and day of the rows
        self.kinds: dict[tuple[int, int], str | None] = {}
        self.gone: set[tuple[int, Row]] = set()
        self.met: dict[int, dict[str, list[Row]]] = {}  # files as they were loaded, by day of the rows

    def do(self, what: str, start: int, end: int) -> str:
        if what in ('run', 'load'):
            days = range(start, end + 1)
            sessions = {session for (_, day), rows in self.loaded.items() if day in days for session in _sessions(rows)}
            self._files(days)
            for of in range(1, DAYS + 1):
                self._delivery(of, days)
            now = {session for (_, day), rows in self.loaded.items() if day in days for session in _sessions(rows)}
            self.happened['a session loses its last event'] += len(sessions - now)
        return what

    def _files(self, days: range) -> None:
        parts: Counter[tuple[int, str]] = Counter()
        for name, (of, kind, rows) in self.files.items():
            parts[of, kind] += 1
            for day in days:
                own, met = [row for row in rows if _day(row) == day], self.met.setdefault(day, {})
                if own and met.get(name) == own:
                    self.happened['a file is loaded again as it was'] += 1
                is_late = kind == 'events_intraday' and name not in met and self.kinds.get((of, day))
                self.happened['an intraday file comes after a complete delivery'] += bool(own and is_late)
                met[name] = own
        of_several = sum(count > 1 and kind in ('events', 'events_fresh') for (_, kind), count in parts.items())
        self.happened['a delivery of several files is loaded'] += of_several

    def _delivery(self, of: int, days: range) -> None:
        """Hold what counts of a day of the export against what was loaded of it."""
        before = {row for day in days for row in self.loaded.get((of, day), ())}
        now = {row for row in self.counting(of) if _day(row) in days}
        kind = self.newest(of)
        for day in days:
            was = self.kinds.get((of, day))
            has_rows = bool(self.loaded.get((of, day)))
            self.happened['a complete delivery comes after an intraday one'] += bool(kind and not was and has_rows)
            other = {row for row in now if _day(row) == day} != self.loaded.get((of, day))
            self.happened['a complete delivery is delivered again'] += bool(kind and kind == was and other)
            self.loaded[of, day], self.kinds[of, day] = {row for row in now if _day(row) == day}, kind
        new = now - before
        for row in before - now:
            self.happened[
                next((what for what, place in MOVES.items() if _moved(row, new, place)), 'an event is withdrawn')
            ] += 1
        self.happened['a withdrawn event comes back'] += len({(of, row) for row in new} & self.gone)
        self.gone |= {(of, row) for row in before - now}


MOVES = {
    'an event is filled in': SOURCE,
    'an event moves to another article': CONTENT,
    'an event moves to another session': SESSION,
    'an event moves to another day': STAMP,
}


def _moved(row: Row, new: set[Row], place: int) -> bool:
    """Whether there is one that differs from a row in one place alone; in its stamp, by its day."""
    rest = (*row[:place], *row[place + 1 :])
    return any((*each[:place], *each[place + 1 :]) == rest and each[place] != row[place] for each in new)


def _day(row: Row) -> int:
    return int(row[STAMP][8:10])


def _sessions(rows: set[Row]) -> set[tuple[int, str, str, str]]:
    return {(_day(row), row[CONTENT], row[2], row[SESSION]) for row in rows if row[2] and row[SESSION]}


def test_each_thing_that_may_happen_to_a_day_happens_in_the_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'ga4_events').mkdir()
    happened: Counter[str] = Counter()
    for seed in MANY:
        program = Sketch(seed, tmp_path, monkeypatch)
        for _ in range(program.random.randint(program.fewest, program.most)):
            program.told.append(program.step())
        if program.files:
            program.do('run', 1, DAYS)
        happened += program.happened
    assert {what: happened[what] for what, fewest in FEWEST.items() if happened[what] < fewest} == {}
