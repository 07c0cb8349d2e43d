"""Which files and rows belong to a load, and in which order they were delivered."""

import gzip
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from kly_mage.common.errors import LandingError
from kly_mage.declared.cms_articles import CMS_ARTICLES
from kly_mage.declared.ga4_events import GA4_EVENTS
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.landing import files as landing
from tests.landing.zone import HEADER, JAKARTA, Write, read, row, units

# --- which files ------------------------------------------------------------------------------------------------------


def test_files_end_in_csv_csv_gz_or_parquet_in_the_folder_or_beside_it(write: Write) -> None:
    for name in (
        'gam_delivery/gam_delivery_20251001.csv',
        'gam_delivery/gam_delivery_20251001_b.csv',
        'gam_delivery/export.csv',
        'gam_delivery.csv',
        'gam_delivery/notes.csv.txt',
        'gam_delivery/.gam_delivery_20251001.csv.swp',
        'gam_delivery/gam_delivery_20251003.parquet',
        'gam_delivery/gam_delivery_20251003.parquet.gz',
        'ga4_events/gam_delivery_20251001.csv',
        'gam_delivery_20251001.csv',
    ):
        folder = write(HEADER, name)
    write(gzip.compress(HEADER.encode()), 'gam_delivery/gam_delivery_20251002-late.csv.gz')
    assert {(file.name, file.day) for file in landing.find_files(GAM_DELIVERY, folder, JAKARTA)} == {
        ('gam_delivery/gam_delivery_20251001.csv', date(2025, 10, 1)),
        ('gam_delivery/gam_delivery_20251001_b.csv', date(2025, 10, 1)),
        ('gam_delivery/gam_delivery_20251002-late.csv.gz', date(2025, 10, 2)),
        ('gam_delivery/gam_delivery_20251003.parquet', date(2025, 10, 3)),
        ('gam_delivery/export.csv', None),
        ('gam_delivery.csv', None),
    }


@pytest.mark.parametrize('digits', ['20251301', '20250229', '99999999'])
def test_a_name_with_an_impossible_day_is_an_error(write: Write, digits: str) -> None:
    folder = write(HEADER, f'gam_delivery/gam_delivery_{digits}.csv')
    with pytest.raises(
        LandingError, match=rf'^gam_delivery/gam_delivery_{digits}.csv: {digits} is not a day; name the file'
    ):
        read(folder)


def test_no_landing_zone_and_no_source_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(LandingError, match=r'no landing zone at .*nowhere: create it or set KLY_DATA_DIR'):
        read(tmp_path / 'nowhere')
    with pytest.raises(
        LandingError, match=r'nothing for gam_delivery in .*: expected gam_delivery/\*\.csv or gam_delivery\.csv'
    ):
        read(tmp_path)


# --- which rows -------------------------------------------------------------------------------------------------------


def test_a_day_takes_its_rows_from_its_own_file_and_from_those_of_the_late_days(write: Write) -> None:
    for day in ('0930', '1001', '1002', '1004', '1005'):
        folder = write(HEADER + row(f'from {day}'), f'gam_delivery/gam_delivery_2025{day}.csv')
    # 1 October is 3 days before the 4th and 4 before the 5th; the file of 30 September cannot know it.
    assert units(read(folder, '2025-10-01')) == ['from 1001', 'from 1002', 'from 1004']
    assert units(read(folder, '2025-10-01', late_days=0)) == ['from 1001']
    assert units(read(folder, '2025-10-01', late_days=4)) == ['from 1001', 'from 1002', 'from 1004', 'from 1005']


def test_a_range_takes_no_row_that_its_days_alone_would_not_take(write: Write) -> None:
    for day in ('1001', '1003', '1005', '1008'):
        rows = ''.join(row(f'{day} of {other}', f'2025-10-{other}') for other in ('01', '02', '03', '05', '08'))
        folder = write(HEADER + rows, f'gam_delivery/gam_delivery_2025{day}.csv')
    days = [f'2025-10-{day:02}' for day in range(1, 9)]
    alone = [unit for day in days for unit in units(read(folder, day))]
    assert units(read(folder, days[0], days[-1])) == sorted(alone)
    assert len(alone) == 9  # 1001: 01; 1003: 01, 02, 03; 1005: 02, 03, 05; 1008: 05, 08


def test_an_undated_file_may_hold_any_day(write: Write) -> None:
    folder = write(HEADER + row('a') + row('b', '2024-02-29') + row('c', '2031-01-01'), 'gam_delivery.csv')
    assert units(read(folder, '2024-02-29')) == ['b']
    assert units(read(folder, '2025-01-01', '2031-12-31')) == ['a', 'c']


def test_rows_without_a_readable_day_come_with_the_own_day_of_their_file(write: Write) -> None:
    folder = write(HEADER + row('a', '2025-10-99') + row('b'))
    assert units(read(folder, '2025-10-01')) == ['a', 'b']
    assert units(read(folder, '2025-09-30', '2025-10-01')) == ['a', 'b']
    assert units(read(folder, '2025-09-30')) == []  # which looks at it for late rows
    assert units(read(folder, '2025-10-02')) == []


def test_rows_without_a_readable_day_of_an_undated_file_come_with_every_load(write: Write) -> None:
    folder = write(HEADER + row('a', '2025-10-99') + row('b'), 'gam_delivery/gam_delivery.csv')
    assert units(read(folder, '2025-10-01')) == ['a', 'b']
    assert units(read(folder, '2025-09-30')) == ['a']


def test_a_broken_row_with_a_readable_day_belongs_to_that_day(write: Write) -> None:
    folder = write(HEADER + row('a').replace('0.5', 'NaN') + row('b', '2025-09-30'))
    assert units(read(folder, '2025-10-01')) == ['a']


def test_articles_come_whole_whatever_the_day(write: Write) -> None:
    folder = write('content_id,publish_timestamp\n1,2019-05-05\n2,\n', 'cms_articles/cms_articles_20251001.csv')
    assert read(folder, '2025-10-20', source=CMS_ARTICLES)['content_id'].to_list() == ['1', '2']


# --- the order of delivery --------------------------------------------------------------------------------------------


def test_rows_are_delivered_in_the_order_of_days_files_and_lines(write: Write) -> None:
    write(HEADER + row('d'), 'gam_delivery/gam_delivery_20251002.csv')
    write(HEADER + row('c'), 'gam_delivery/gam_delivery_20251001_2.csv')
    folder = write(HEADER + row('a') + row('b'))
    found = read(folder)
    assert found['ad_unit'].to_list() == ['a', 'b', 'c', 'd']
    places = found.select('_delivered_at', '_file', '_line').rows()
    assert places == sorted(set(places))
    assert [line for *_, line in places] == [2, 3, 2, 2]
    # Midnight in Jakarta, for all rows and files of a day.
    midnight = datetime(2025, 9, 30, 17, tzinfo=UTC)
    assert [at for at, *_ in places] == [midnight, midnight, midnight, midnight + timedelta(days=1)]


def test_the_place_of_a_file_does_not_depend_on_the_files_beside_it(write: Write) -> None:
    folder = write(HEADER + row('b'), 'gam_delivery/gam_delivery_20251001_b.csv')
    (alone,) = read(folder).select('_delivered_at', '_file', '_line').rows()
    write(HEADER + row('a'), 'gam_delivery/gam_delivery_20251001_a.csv')
    assert read(folder).select('_delivered_at', '_file', '_line').rows()[1] == alone


def test_of_one_day_the_kinds_of_an_export_follow_each_other_whatever_their_names(tmp_path: Path) -> None:
    (tmp_path / 'ga4_events').mkdir()
    kinds = ['events_intraday', 'events_fresh', 'events', 'ga4_events']
    for name in ('ga4_events_20251001', 'events_20251001', 'events_intraday_20251001', 'events_fresh_20251001'):
        (tmp_path / 'ga4_events' / f'{name}.csv').write_text('')
    assert [file.path.stem.removesuffix('_20251001') for file in landing.find_files(GA4_EVENTS, tmp_path, JAKARTA)] == kinds


def test_what_a_name_tells_is_worked_out_once_and_a_changed_file_or_setting_is_seen(write: Write) -> None:
    write(HEADER, 'gam_delivery/gam_delivery_20251001.csv')
    folder = write(HEADER, 'gam_delivery/gam_delivery_20251002.csv')
    (target := folder / 'target.csv').write_text(HEADER)
    (folder / 'gam_delivery' / 'gam_delivery_20251003.csv').symlink_to(target)
    first, second, link = landing.find_files(GAM_DELIVERY, folder, JAKARTA)
    assert landing.find_files(GAM_DELIVERY, folder, JAKARTA)[0] is first, 'of a thousand files, a look costs a look'
    (folder / second.name).write_text(HEADER * 2)
    target.unlink()
    kept, changed, dangling = landing.find_files(GAM_DELIVERY, folder, JAKARTA)
    assert (kept, changed.size, link.problem) == (first, 2 * second.size, None)
    assert dangling.problem == 'a link that leads nowhere; it is not read'
    (folder / second.name).unlink()
    assert len(landing.find_files(GAM_DELIVERY, folder, JAKARTA)) == 2
    assert landing.find_files(GAM_DELIVERY, folder, 'UTC')[0].delivered_at == first.delivered_at + timedelta(hours=7)


def test_an_undated_file_is_delivered_when_it_was_changed(write: Write) -> None:
    folder = write(HEADER + row('a'), 'gam_delivery.csv')
    os.utime(folder / 'gam_delivery.csv', (1_759_305_600, 1_759_305_600))  # 2025-10-01T08:00:00Z
    assert read(folder)['_delivered_at'][0] == datetime(2025, 10, 1, 8, tzinfo=UTC)
