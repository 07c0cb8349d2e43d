"""Bad input through the real command: one clear message or one reject each, and nothing half-written."""

import gzip
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import REPOSITORY, Settings
from tests.commands import run
from tests.delivery import HEADERS, ad, ads, article, backfill, deliver, event
from tests.gold import Query, assert_gold_is_exact

pytestmark = pytest.mark.one_version

Captured = pytest.CaptureFixture[str]
FILE = 'gam_delivery/gam_delivery_20251001.csv'
TABLES = ('bronze.gam_delivery', 'bronze.gam_delivery_conflicts', 'bronze.rejects', 'gold.gam_daily_summary')


def error(capfd: Captured) -> str:
    """The one line that the command wrote to standard error."""
    written = capfd.readouterr()
    assert written.out == ''
    assert 'Traceback' not in written.err
    (line,) = written.err.splitlines()
    assert line.startswith('error: ')
    return line.removeprefix('error: ')


def warehouse(query: Query) -> list[list[tuple[object, ...]]]:
    return [query(f'select * from {table} order by 1, 2, 3') for table in TABLES]


# --- files that cannot be used: named, nothing of them written, the others loaded --------------------------------------


def cut_short(path: Path) -> None:
    path.with_suffix('.csv.gz').write_bytes(gzip.compress(path.read_bytes() * 50)[:-12])
    path.unlink()


def header(text: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(text + '\n' + path.read_text().partition('\n')[2])


def more(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(path.read_bytes() + data)


AD_HEADER = HEADERS['gam_delivery']
BROKEN_FILES: list[tuple[str, Callable[[Path], object], str]] = [
    ('a required column is missing', header(AD_HEADER.replace('_usd', '')), 'missing: revenue_usd'),
    ('two are missing', header('a,ad_unit,line_item,creative,content_id,b,clicks,revenue_usd'), 'served_at, impressions'),
    (
        'a column stands there twice',
        header(AD_HEADER.replace('creative', 'ad_unit')),
        'a column twice: ad_unit',
    ),
    ('a column is named like ours', header(AD_HEADER.replace('creative', '_load_id')), 'column _load_id'),
    ('not UTF-8', more(ad('café').encode('latin-1')), 'line 3 is not UTF-8'),
    (
        'not UTF-8 and ragged',
        lambda path: path.write_bytes(path.read_bytes() + b'caf\xe9\n'),
        'line 3 is not UTF-8 (byte 4)',
    ),
    ('ends inside a character', more('é'.encode()[:1]), 'line 3 is not UTF-8'),
    (
        'an open quote',
        more(f'"{ad()}\n{ad()}\n'.encode()),
        'line 3 opens a quote',
    ),
    ('a gzip that is cut short', cut_short, 'cut short or damaged at line'),
    (
        'a gzip that is none',
        lambda path: path.rename(path.with_suffix('.csv.gz')).write_bytes(bytes(9)),
        'is neither packed by gzip',
    ),
    ('a row of 20 MB', lambda path: path.write_bytes(path.read_bytes() + b'x' * (20 << 20)), 'longer than 1 MB'),
    ('a folder named like a file', lambda path: (path.unlink(), path.mkdir()), 'a folder, no file; it is not read'),
    ('a day that is none', lambda path: path.rename(path.with_name('gam_delivery_20251032.csv')), '20251032 is not a day'),
]


@pytest.mark.parametrize(('spoil', 'message'), [case[1:] for case in BROKEN_FILES], ids=[case[0] for case in BROKEN_FILES])
def test_a_file_that_cannot_be_used_fails_its_source_if_there_is_no_other(
    settings: Settings, query: Query, capfd: Captured, spoil: Callable[[Path], object], message: str
) -> None:
    deliver(settings, 'gam_delivery_20250930.csv', ad('before', day='2025-09-30'))
    assert ads('2025-09-30') == 0
    before = warehouse(query)
    spoil(deliver(settings, 'gam_delivery_20251001.csv', ad('a', '2')))
    capfd.readouterr()
    assert ads('2025-10-01') == 1
    told = error(capfd)
    assert message in told
    assert told.startswith('gam_delivery/gam_delivery_202510')
    assert warehouse(query) == before
    assert query("select count(*) from ops.loads where status = 'running'") == [(0,)]


@pytest.mark.parametrize(('spoil', 'message'), [case[1:] for case in BROKEN_FILES], ids=[case[0] for case in BROKEN_FILES])
def test_a_file_that_cannot_be_used_is_left_out_by_name_and_the_others_are_loaded(
    settings: Settings, query: Query, capfd: Captured, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(deliver(settings, 'gam_delivery_20251001.csv', ad('a', '2')))
    deliver(settings, 'gam_delivery_20251002.csv', ad('b', '3', day='2025-10-02'))
    assert ads('2025-10-01', '2025-10-02') == 3
    written = capfd.readouterr()
    assert 'Traceback' not in written.err
    (shown,) = [line for line in written.err.splitlines() if 'is left out' in line]
    assert shown.startswith('gam_delivery/gam_delivery_202510')
    assert message in shown
    lacks = ', 1 day missing' if 'is not a day' in message else ''  # what no day can be read from is no day's file
    assert written.out == (
        f'gam_delivery: 1 read, 1 distinct, 1 new, 0 already loaded, 0 rejected, 0 conflicting, 1 file left out{lacks}\n'
    )
    assert query('select ad_unit from bronze.gam_delivery') == [('b',)]
    ((line, told),) = query('select line, reason from bronze.rejects where resolved_at is null')
    assert line == 0
    assert message in told
    assert query("select count(*) from ops.loads where status = 'running'") == [(0,)]
    assert main(['status', '--source', 'gam_delivery']) == 3
    assert 'is left out: ' in capfd.readouterr().out
    # Once the file is repaired, the same command does the whole of it.
    for path in (settings.data_dir / 'gam_delivery').glob('gam_delivery_202510*'):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    deliver(settings, 'gam_delivery_20251001.csv', ad('a', '2'))
    deliver(settings, 'gam_delivery_20251002.csv', ad('b', '3', day='2025-10-02'))
    assert ads('2025-10-01', '2025-10-02') == 0
    assert query('select sum(revenue_usd) from gold.gam_daily_summary') == [(5,)]
    assert query('select count(*) from bronze.rejects where resolved_at is null') == [(0,)]


def test_no_landing_zone(settings: Settings, monkeypatch: pytest.MonkeyPatch, capfd: Captured, tmp_path: Path) -> None:
    monkeypatch.setenv('KLY_DATA_DIR', str(tmp_path / 'nowhere'))
    assert backfill() == 1
    assert error(capfd) == f'no landing zone at {tmp_path}/nowhere: create it or set KLY_DATA_DIR'


def test_no_folder_for_a_source(settings: Settings, capfd: Captured) -> None:
    (settings.data_dir / 'gam_delivery').rmdir()
    assert ads() == 1
    assert error(capfd).startswith(f'nothing for gam_delivery in {settings.data_dir}: expected gam_delivery/*.csv')


# --- rows that cannot be used: one reject each ------------------------------------------------------------------------

BROKEN_ROWS = {
    'ragged, too short': ('a,b,c', None, '3 fields, the header has 8'),
    'ragged, too long': (ad() + ',more', None, '9 fields, the header has 8'),
    'a timestamp that is none': (ad(day='2025-02-30'), 'served_at', 'not an ISO 8601 timestamp'),
    'a number that is none': (ad(impressions='ten'), 'impressions', 'not a whole number of at least 0'),
    'a negative count': (ad(clicks='-1'), 'clicks', 'not a whole number of at least 0'),
    'NaN as money': (ad('a', 'NaN'), 'revenue_usd', 'not a finite decimal'),
    'infinity as money': (ad('a', '-Infinity'), 'revenue_usd', 'not a finite decimal'),
    'money that would have to be rounded': (ad('a', '0.0000000000001'), 'revenue_usd', 'not a finite decimal'),
    'no money': (ad('a', ''), 'revenue_usd', 'is missing'),
    'no ad unit': (ad(''), 'ad_unit', 'is missing'),
    'a NUL byte': (ad('a\0b'), 'ad_unit', 'holds a NUL byte'),
    'a key of a thousand characters': (ad().replace(',7,', f',{"7" * 1000},'), 'content_id', 'longer than 500 characters'),
}


@pytest.mark.parametrize(('row', 'column', 'reason'), BROKEN_ROWS.values(), ids=BROKEN_ROWS)
def test_a_row_that_cannot_be_used_is_one_reject_with_its_place(
    settings: Settings, query: Query, capfd: Captured, row: str, column: str | None, reason: str
) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad('good', '1.5'), row, ad('fine', '0.25'))
    assert ads() == 3
    ((file, line, found, told),) = query('select file, line, column_name, reason from bronze.rejects')
    assert (file, line, found) == (FILE, 3, column)
    assert told.startswith(reason)
    assert query('select revenue_usd::text from gold.gam_daily_summary') == [('1.75',)]
    written = capfd.readouterr()
    assert 'Traceback' not in written.err
    (shown,) = [text for text in written.err.splitlines() if FILE in text]
    assert f'{FILE}, line 3: {column or ""}' in shown
    assert told in shown
    assert 'is holds' not in shown
    assert len(shown) < 250
    assert '1 rejected' in written.out


def test_articles_dated_beyond_the_calendar_are_rejects_too(settings: Settings, query: Query) -> None:
    dates = ('9999-12-31T23:59:59Z', '0000-01-01', '0001-01-01T00:00:00', '9999-12-31')
    rows = (article(str(number), published=text) for number, text in enumerate(dates))
    deliver(settings, 'cms_articles_20251001.csv', *rows)
    backfill()
    assert query('select value from bronze.rejects order by line') == [(text,) for text in dates[:3]]
    assert query('select content_id from gold.articles') == [('3',)]


@pytest.mark.parametrize('day', ['0001-01-01', '9999-12-31'])
def test_the_first_and_the_last_day_there_are_can_be_asked_for(settings: Settings, capfd: Captured, day: str) -> None:
    deliver(settings, 'ga4_events_20251001.csv', event())
    deliver(settings, 'gam_delivery_20251001.csv', ad())
    deliver(settings, 'cms_articles_20251001.csv', article('7'))
    for command in ('backfill', 'status', 'reconcile', 'unload'):
        assert main([command, '--start', day]) in (0, 3), capfd.readouterr().err
    assert main(['backfill', '--missing', '--start', day]) in (0, 3), capfd.readouterr().err


def test_the_longest_id_fits_into_every_mart(settings: Settings, query: Query) -> None:
    longest = ''.join(chr(0x1F300 + n * 7919 % 0x250) for n in range(500))  # four bytes each, nothing to compress
    deliver(settings, 'ga4_events_20251001.csv', event(content=longest))
    deliver(settings, 'gam_delivery_20251001.csv', ad().replace(',7,', f',{longest},'))
    deliver(settings, 'cms_articles_20251001.csv', article(longest))
    assert backfill() == 0
    assert query('select content_id, pageviews, impressions from gold.daily_summary') == [(longest, 1, 10)]


# --- texts that are strange, and fine ---------------------------------------------------------------------------------

STRANGE = [
    "Robert'); drop table bronze.ga4_events; --",
    '"; drop schema gold cascade; --',
    '{{ env_var("HOME") }}',
    '%s %(content_id)s %%',
    '\\N',
    '$$ do $$',
    'NULL',
    '-- comment',
    'ünï💥',
    'a\tb\x01',
    ' ',
]


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def test_names_that_are_sql_are_only_names(settings: Settings, query: Query) -> None:
    deliver(settings, 'ga4_events_20251001.csv', *(event(quoted(text), content=quoted(text)) for text in STRANGE))
    deliver(settings, 'gam_delivery_20251001.csv', *(ad(quoted(text)) for text in STRANGE))
    deliver(settings, 'cms_articles_20251001.csv', *(article(quoted(text), quoted(text)) for text in STRANGE))
    assert backfill() == 0
    assert {name for (name,) in query('select content_id from gold.ga4_daily_summary')} == set(STRANGE)
    assert {title for (title,) in query("select title from gold.daily_summary where site <> '(not set)'")} == set(STRANGE)
    assert query('select count(*) from bronze.gam_delivery') == [(len(STRANGE),)]
    assert_gold_is_exact(query, settings.data_dir)


def test_a_field_of_a_megabyte_is_kept(settings: Settings, query: Query) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad('x' * (1 << 20)), ad('b'))
    assert ads() == 0
    assert query('select max(length(ad_unit)), count(*) from bronze.gam_delivery') == [(1 << 20, 2)]
    assert query('select impressions from gold.gam_daily_summary') == [(20,)]


def test_a_megabyte_that_is_no_number_is_a_reject_and_no_megabyte_on_the_screen(
    settings: Settings, query: Query, capfd: Captured
) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad('a', '9' * (1 << 20)), ad('b'))
    assert ads() == 3
    assert query('select length(value) from bronze.rejects') == [(1 << 20,)]
    written = capfd.readouterr().err
    assert '(1048576 characters)' in written
    assert len(written) < 2000


# --- no server --------------------------------------------------------------------------------------------------------


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port nobody listens on, nor will: it is held, without anybody listening, until the test is done."""
    with socket.socket() as held:
        held.bind(('127.0.0.1', 0))
        yield int(held.getsockname()[1])


@pytest.mark.parametrize('debug', [[], ['--debug']])
def test_no_server_says_where_it_was_looked_for_and_never_the_password(
    closed_port: int, debug: list[str], tmp_path: Path
) -> None:
    password = 'hunter2-s3cret'
    environment = {
        'KLY_DATA_DIR': str(REPOSITORY / 'data'),
        'KLY_LOCAL_DIR': str(tmp_path),
        'POSTGRES_HOST': '127.0.0.1',
        'POSTGRES_PORT': str(closed_port),
        'POSTGRES_USER': 'reporter',
        'POSTGRES_PASSWORD': password,
    }
    done = run('backfill', '--start', '2025-10-01', *debug, **environment)
    assert done.returncode == 1
    assert password not in done.stdout + done.stderr
    assert f'PostgreSQL at 127.0.0.1:{closed_port} does not answer (Connection refused); start it' in done.stderr
    assert 'check POSTGRES_HOST and POSTGRES_PORT' in done.stderr
    if not debug:
        assert len(done.stderr.splitlines()) == 1
        assert 'Traceback' not in done.stderr


def test_a_database_that_is_not_there_is_named_and_the_password_is_not(settings: Settings) -> None:
    environment = {'POSTGRES_PASSWORD': 'hunter2-s3cret', 'POSTGRES_DBNAME': 'no such database'}
    done = run('backfill', '--start', '2025-10-01', **environment)
    assert (done.returncode, done.stdout) == (1, '')
    assert 'has no database no such database; check POSTGRES_DBNAME' in done.stderr
    assert 'hunter2' not in done.stderr
    assert len(done.stderr.splitlines()) == 1


# --- the same as a process of its own ---------------------------------------------------------------------------------


def test_a_broken_file_as_a_process(settings: Settings) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad('a'), b'caf\xe9')
    done = run('backfill', '--start', '2025-10-01', '--pipeline', 'ads_revenue')
    assert (done.returncode, done.stdout) == (1, '')
    assert done.stderr == f'error: {FILE}: line 3 is not UTF-8 (byte 4); export the file as UTF-8\n'


def test_a_broken_row_as_a_process(settings: Settings) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad('a'), ad('b', 'NaN'))
    done = run('backfill', '--start', '2025-10-01', '--pipeline', 'ads_revenue')
    assert done.returncode == 3
    assert done.stdout == 'gam_delivery: 2 read, 1 distinct, 1 new, 0 already loaded, 1 rejected, 0 conflicting\n'
    assert f"{FILE}, line 3: revenue_usd 'NaN' is not a finite decimal" in done.stderr
    assert 'Traceback' not in done.stderr


def test_a_few_late_rows_do_not_make_a_day_without_its_file_a_loaded_one(settings: Settings, capfd: Captured) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad('a'))
    late = deliver(settings, 'gam_delivery_20251003.csv', ad('b', day='2025-10-03'), ad('late', day='2025-10-02'))
    for _ in range(2):
        assert ads('2025-10-01', '2025-10-03') == 3
        written = capfd.readouterr()
        assert written.out.endswith('1 day missing\n')
        assert 'gam_delivery: no file, or one without rows, for 2025-10-02' in written.err
    deliver(settings, 'gam_delivery_20251002.csv', ad('c', day='2025-10-02'))
    assert ads('2025-10-01', '2025-10-03') == 0
    late.unlink()  # cleaned up after its load: nothing is missing
    assert ads('2025-10-01', '2025-10-03') == 0


@pytest.mark.parametrize(
    'content', [b'', b'served_at,ad_unit,impressions,clicks,revenue_usd\n'], ids=['empty', 'header only']
)
def test_a_file_without_rows_ends_with_3(settings: Settings, capfd: Captured, content: bytes) -> None:
    deliver(settings, 'gam_delivery_20251001.csv').write_bytes(content)
    assert ads('2025-10-01') == 3
    assert 'gam_delivery: no file, or one without rows, for 2025-10-01' in capfd.readouterr().err


def test_an_empty_landing_zone_loads_nothing_and_says_so(settings: Settings, query: Query, capfd: Captured) -> None:
    assert main(['backfill', '--start', '2025-10-01']) == 3
    assert 'gam_delivery: no file, or one without rows, for 2025-10-01' in capfd.readouterr().err
    assert query('select count(*) from gold.daily_summary') == [(0,)]
