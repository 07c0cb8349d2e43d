"""Small files that are typed together give what each of them gives by itself."""

import gzip
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from kly_mage.common.settings import Settings
from kly_mage.common.window import Window
from kly_mage.declared import SOURCES
from kly_mage.landing import files as landing
from kly_mage.landing import left_out, readers, together
from tests.delivery import HEADERS, ad, article, event

pytestmark = pytest.mark.one_version

DAYS = Window(date(2025, 10, 1), date(2025, 10, 2))
ADS = {
    'gam_delivery_20251001.csv': [
        ad('a'),
        ad('b', 'x'),
        ad('c', day='2025-09-01'),
        'no day,,,,,1,1,1',
        ad('d', day='2025-09-30'),
    ],
    'gam_delivery_20251001_b.csv': [ad('a', '2'), ad('e\n"')],
    'gam_delivery_20251002.csv': [ad('f', day='2025-10-02'), 'too,few'],
    'gam_delivery_20251002_micros.csv': [ad('g', '900000', '1', day='2025-10-02')],
    'gam_delivery_20251002_none.csv': [],
    'gam_delivery_20251003.csv': [ad('late'), ad('h', day='2025-10-03')],
    'gam_delivery_20251004.csv': [ad('i', day='2025-10-04')],
    'gam_delivery_undated.csv': [ad('j'), ad('k', day='2025-12-01'), ad('l', 'x', day='2025-12-01')],
}


def deliver(folder: Path, source: str, files: dict[str, list[str]], header: str | None = None) -> None:
    (folder / source).mkdir(parents=True, exist_ok=True)
    for name, rows in files.items():
        lines = [header or HEADERS[source], *(row.replace('\n"', '"') for row in rows)]
        (folder / source / name).write_text('\n'.join(lines) + '\n')


def read(folder: Path, source_name: str, days: Window) -> tuple[list[dict[str, object]], dict[str, str]]:
    """All rows of a load, in its order, and what it leaves out."""
    source, found = SOURCES[source_name], dict[str, str]()
    files = landing.find_files(source, folder, 'Asia/Jakarta')
    near = files if source.any_day else landing.files_for(files, days, 3)

    def walk() -> pl.DataFrame:
        frames = left_out.read(source, near, days, timezone='Asia/Jakarta', late_days=3, left_out=found)
        return readers.whole(source, frames)

    return left_out.until_whole(walk).to_dicts(), found


@pytest.mark.parametrize('last', [1, 2, 4])
def test_small_files_give_what_each_of_them_gives_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    deliver(tmp_path, 'gam_delivery', ADS)
    days = Window(date(2025, 10, 1), date(2025, 10, last))
    together_rows = read(tmp_path, 'gam_delivery', days)
    monkeypatch.setattr(left_out, 'SMALL_BYTES', 0)
    assert together_rows == read(tmp_path, 'gam_delivery', days)
    # Of the first file a, the b that cannot be used, the c outside and the row without a day; d is of a day before.
    assert sum(row['_file'] == 'gam_delivery/gam_delivery_20251001.csv' for row in together_rows[0]) == 4
    assert list(together_rows[1]) == ['gam_delivery/gam_delivery_20251002_micros.csv']


def test_files_of_articles_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(
        tmp_path, 'cms_articles', {'cms_articles_20251001.csv': [article('1')], 'cms_articles_20240101.csv': [article('2')]}
    )
    rows = read(tmp_path, 'cms_articles', DAYS)
    monkeypatch.setattr(left_out, 'SMALL_BYTES', 0)
    assert rows == read(tmp_path, 'cms_articles', DAYS)
    assert [row['content_id'] for row in rows[0]] == ['2', '1']


def test_files_of_other_columns_are_not_put_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(tmp_path, 'ga4_events', {'ga4_events_20251001_a.csv': [event('u1')]})
    deliver(
        tmp_path, 'ga4_events', {'ga4_events_20251001_b.csv': [f'{event("u2")},more']}, HEADERS['ga4_events'] + ',further'
    )
    rows = read(tmp_path, 'ga4_events', DAYS)
    monkeypatch.setattr(left_out, 'SMALL_BYTES', 0)
    assert rows == read(tmp_path, 'ga4_events', DAYS)
    assert [row['further'] for row in rows[0]] == [None, 'more']


def test_files_of_one_shape_are_typed_once(settings: Settings) -> None:
    deliver(settings.data_dir, 'ga4_events', {f'ga4_events_20251001_{n:02}.csv': [event(f'u{n}')] for n in range(20)})
    source = SOURCES['ga4_events']
    files = landing.find_files(source, settings.data_dir, settings.timezone)
    ((names, frame),) = together.typed(source, files, settings.timezone)
    assert frame is not None
    assert (len(names), frame.height) == (20, 20)


H = HEADERS['gam_delivery'].encode()
ODD = {
    'nothing odd': H + b'\n' + ad('o').encode() + b'\n',
    'lines of Windows': H + b'\r\n' + ad('o').encode() + b'\r\n',
    'lines of an old Mac': H + b'\r' + ad('o').encode() + b'\r',
    'a line end of each kind': H + b'\n' + ad('o').encode() + b'\r' + ad('p').encode() + b'\n',
    'a byte order mark': b'\xef\xbb\xbf' + H + b'\n' + ad('o').encode() + b'\n',
    'quotes': H + b'\n' + ad('"o, ""p"""').encode() + b'\n',
    'a line end in quotes': H + b'\n' + ad('"o\np"').encode() + b'\n' + ad('q').encode() + b'\n',
    'a quote that is not closed': H + b'\n' + ad('o').encode() + b'\n' + ad('"p').encode() + b'\n',
    'one that is not closed, and another': H + b'\n' + ad('o"').encode() + b'\n' + ad('p')[:-1].encode() + b'"1"\n',
    'not closed in the last field': H + b'\n' + ad('o"').rpartition(',')[0].encode() + b',"1\n',
    'a quoted header': H.replace(b'creative', b'"creative"') + b'\n' + ad('o').encode() + b'\n',
    'a header of two lines': H.replace(b'creative', b'"crea\ntive"') + b'\n' + ad('o').encode() + b'\n',
    'an empty line': H + b'\n\n' + ad('o').encode() + b'\n',
    'an empty line at the end': H + b'\n' + ad('o').encode() + b'\n\n',
    'commas only': H + b'\n' + ad('o').encode() + b'\n,,,,,,,\n',
    'a field too few': H + b'\n' + ad('o').encode() + b'\n' + ad('p').rpartition(',')[0].encode() + b'\n',
    'no end': H + b'\n' + ad('o').encode(),
    'no rows': H + b'\n',
    'a NUL': H + b'\n' + ad('o\0').encode() + b'\n',
    'no UTF-8': H + b'\n' + ad('o').encode() + b'\n' + ad('p').encode() + b'\xff\n',
    'UTF-16': (H.decode() + '\n' + ad('o') + '\n').encode('utf-16'),
    'packed': gzip.compress(H + b'\n' + ad('o').encode() + b'\n'),
    'packed and cut': gzip.compress(H + b'\n' + ad('o').encode() + b'\n')[:-5],
    'other columns': b'further,' + H + b'\nx,' + ad('o').encode() + b'\n',
    'another sign': H.replace(b',', b';') + b'\n' + ad('o').replace(',', ';').encode() + b'\n',
    'a title above': b'A report\n\n' + H + b'\n' + ad('o').encode() + b'\n',
}


@pytest.mark.parametrize('odd', ODD)
def test_what_is_odd_about_a_file_among_small_ones_is_no_other_than_of_it_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: str
) -> None:
    plain = {f'gam_delivery_20251001_{n}.csv': [ad(f'a{n}'), ad(f'b{n}')] for n in (1, 2, 4, 5)}
    deliver(tmp_path, 'gam_delivery', plain)
    (tmp_path / 'gam_delivery' / 'gam_delivery_20251001_3.csv').write_bytes(ODD[odd])
    found = read(tmp_path, 'gam_delivery', DAYS)
    monkeypatch.setattr(left_out, 'SMALL_BYTES', 0)
    assert found == read(tmp_path, 'gam_delivery', DAYS)
    of_plain = [(row['_file'][-5], row['_line']) for row in found[0] if row['_file'][-5] != '3']
    assert of_plain == [(n, line) for n in '1245' for line in (2, 3)]
