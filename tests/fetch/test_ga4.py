"""Which tables are copied, into which files, and what a copy that is broken off leaves behind."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from kly_mage.common.errors import FetchError, UsageError
from kly_mage.common.window import Window
from kly_mage.fetch import ga4
from kly_mage.fetch.bigquery import Remote
from kly_mage.loads.progress import silent
from tests.ga4_export import SAMPLE, SCHEMA, as_table, events

DAYS = Window(date(2025, 10, 1), date(2025, 10, 3))
MODIFIED = datetime(2025, 10, 4, 12, tzinfo=UTC)


class Tables:
    """A data set of tables that all hold the sample's twelve events."""

    project, name = 'shop', 'analytics_1'

    def __init__(self, *names: str) -> None:
        self.modified = dict.fromkeys(names, MODIFIED)
        self.read: list[str] = []
        self.broken: str | None = None
        self.rows_told = 12

    def tables(self) -> list[str]:
        return list(self.modified)

    def table(self, name: str) -> Remote:
        return Remote(name, self.modified[name], 1_000, self.rows_told, False)

    def rows(self, name: str) -> tuple[Any, Iterator[Any]]:
        self.read.append(name)
        whole = as_table(events(SAMPLE))

        def batches() -> Iterator[Any]:
            yield from whole.slice(0, 7).to_batches()
            if name == self.broken:
                raise FetchError('the line is cut')
            yield from whole.slice(7).to_batches()

        return SCHEMA, batches()


def fetch(tables: Tables, landing: Path, max_bytes: int = 10_000, days: Window = DAYS) -> int:
    found = ga4.plan(tables, landing, days)  # type: ignore[arg-type]
    return ga4.fetch(tables, landing, found, max_bytes, silent)  # type: ignore[arg-type]


def files(landing: Path) -> list[str]:
    return sorted(path.name for path in (landing / 'ga4_events').glob('*'))


def test_the_tables_of_the_days_become_files_in_googles_shape_under_their_names(tmp_path: Path) -> None:
    tables = Tables(
        'events_20251001',
        'events_intraday_20251002',
        'events_fresh_20251002',
        'events_20250930',  # another day
        'events_20251301',  # no day
        'events_20251001_copy',  # none of Google's
        'users_20251001',
        'pseudonymous_users_20251001',
    )
    assert fetch(tables, tmp_path) == 36
    assert files(tmp_path) == [
        'events_20251001-000000000000.parquet',
        'events_fresh_20251002-000000000000.parquet',
        'events_intraday_20251002-000000000000.parquet',
    ]
    assert ga4.plan(tables, tmp_path, DAYS).missing == [date(2025, 10, 3)]  # type: ignore[arg-type]
    written = pq.read_table(tmp_path / 'ga4_events/events_20251001-000000000000.parquet')
    assert written.replace_schema_metadata().equals(as_table(events(SAMPLE)))


def test_a_table_is_copied_again_only_when_it_was_changed(tmp_path: Path) -> None:
    tables = Tables('events_20251001', 'events_20251002')
    fetch(tables, tmp_path)
    assert fetch(tables, tmp_path) == 0
    tables.modified['events_20251002'] = MODIFIED.replace(hour=13)
    assert fetch(tables, tmp_path) == 12
    assert tables.read == ['events_20251001', 'events_20251002', 'events_20251002']


def test_what_is_broken_off_leaves_whole_files_and_goes_on_with_the_others(tmp_path: Path) -> None:
    tables = Tables('events_20251001', 'events_20251002')
    tables.broken = 'events_20251002'
    with pytest.raises(FetchError, match='the line is cut'):
        fetch(tables, tmp_path)
    assert files(tmp_path) == ['events_20251001-000000000000.parquet']
    tables.broken = None
    fetch(tables, tmp_path)
    assert tables.read == ['events_20251001', 'events_20251002', 'events_20251002']


def test_more_bytes_than_allowed_are_not_read_and_the_message_says_how_many_they_are(tmp_path: Path) -> None:
    tables = Tables('events_20251001', 'events_20251002')
    with pytest.raises(FetchError, match='2 tables of 2,000 bytes would be read, 1,999 may be'):
        fetch(tables, tmp_path, 1_999)
    assert tables.read == []
    assert fetch(tables, tmp_path, 2_000) == 24


def test_fewer_rows_than_the_table_has_are_not_kept(tmp_path: Path) -> None:
    tables = Tables('events_20251001')
    tables.rows_told = 13
    with pytest.raises(FetchError, match='has 13 rows, 12 came'):
        fetch(tables, tmp_path)
    assert files(tmp_path) == []


@pytest.mark.parametrize('whose', ['another data set', 'somebody'])
def test_a_file_of_somebody_else_is_not_replaced(tmp_path: Path, whose: str) -> None:
    tables, file = Tables('events_20251001'), tmp_path / 'ga4_events/events_20251001-000000000000.parquet'
    if whose == 'somebody':
        file.parent.mkdir()
        file.write_text('mine')
    else:
        fetch(tables, tmp_path)
        tables.name = 'analytics_2'
    before = file.read_bytes()
    told = 'a copy of shop.analytics_1.events_20251001' if whose != 'somebody' else 'none of the files that fetch writes'
    with pytest.raises(FetchError, match=told):
        fetch(tables, tmp_path)
    assert file.read_bytes() == before


@pytest.mark.parametrize('place', ['ga4_events', 'ga4_events/.events_20251001-000000000000.parquet.part', '.fetch.lock'])
def test_nothing_is_written_through_a_link(tmp_path: Path, place: str) -> None:
    landing, outside = tmp_path / 'zone', tmp_path / 'outside'
    (landing / place).parent.mkdir(parents=True, exist_ok=True)
    if place == 'ga4_events':
        outside.mkdir()
    else:
        outside.write_text('mine')
    (landing / place).symlink_to(outside)
    if place.endswith('.part'):
        fetch(Tables('events_20251001'), landing)  # it makes way
        assert files(landing) == ['events_20251001-000000000000.parquet']
    else:
        with pytest.raises(UsageError, match='it is a link or no folder'):
            fetch(Tables('events_20251001'), landing)
    assert (list(outside.iterdir()) == []) if outside.is_dir() else (outside.read_text() == 'mine')
