"""Reconciliation: what is planted is counted exactly; what is damaged is named, with the command that repairs it."""

import csv
import io
import itertools
import json
import random
import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kly_mage.__main__ import main
from kly_mage.checks.reconciliation import check as reconcile
from kly_mage.checks.reconciliation import read
from kly_mage.checks.reconciliation.findings import verdict
from kly_mage.checks.reconciliation.model import PLACES, Report
from kly_mage.common.settings import REPOSITORY, Settings, load_settings
from kly_mage.common.window import Window
from kly_mage.declared import SOURCES as SOURCES_DECLARED
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.landing import csv as landing_csv
from kly_mage.rows import piles
from kly_mage.warehouse.postgres import few_days
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.server import create_database
from tests.gold import Query
from tests.remedies import obey
from tests.scenes import HEADERS, deliver, deliver_october

DATA = REPOSITORY / 'data'
OCTOBER = ['--start', '2025-10-01', '--end', '2025-10-31']


def backfill(*days: int) -> None:
    """Load these October days, from the first to the last."""
    main(['backfill', '--start', f'2025-10-{days[0]:02}', '--end', f'2025-10-{days[-1]:02}', '--quiet'])


# --- the sample -------------------------------------------------------------------------------------------------------


@dataclass
class Sample:
    """The sample, loaded, and every form in which its reconciliation can be had."""

    planted: dict[str, Any]
    json: dict[str, Any]
    csv: list[dict[str, str]]
    table: str
    page: str
    view: list[dict[str, Any]]
    codes: list[int]
    conflicts_of_the_load: int

    def summed(self, source: str, column: str) -> Any:
        """The sum of a column of the view."""
        return sum(row[column] or 0 for row in self.view if row['source'] == source)


@pytest.fixture(scope='module')
def sample(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    """The sample in a database of this module's own."""
    name, folder = f'test_{uuid.uuid4().hex[:12]}', tmp_path_factory.mktemp('sample')
    create_database(postgres, name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('KLY_DATA_DIR', str(DATA))
        patch.setenv('KLY_TIMEZONE', 'Asia/Jakarta')
        patch.setenv('POSTGRES_HOST', postgres)
        patch.setenv('POSTGRES_PORT', '5432')
        patch.setenv('POSTGRES_DBNAME', name)
        patch.setenv('POSTGRES_USER', 'postgres')
        assert main(['backfill', *OCTOBER, '--quiet']) == 3
        page, said, codes = folder / 'page.html', {}, []
        for form in (['--json'], ['--csv'], [], ['--html', str(page)]):
            with pytest.MonkeyPatch.context() as output:
                stream = io.StringIO()
                output.setattr('sys.stdout', stream)
                codes.append(main(['reconcile', *form]))
                said[''.join(form[:1])] = stream.getvalue()
        with connect(load_settings()) as connection, connection.cursor() as cursor:
            cursor.execute('select * from gold.reconciliation')
            names = [column.name for column in cursor.description]
            view = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
            cursor.execute("select sum(rows_conflicting)::int from ops.loads where source = 'gam_delivery'")
            (conflicts_of_the_load,) = cursor.fetchone()
        yield Sample(
            planted=json.loads((DATA / 'planted.json').read_text()),
            json=json.loads(said['--json']),
            csv=list(csv.DictReader(io.StringIO(said['--csv']))),
            table=said[''],
            page=page.read_text('utf-8'),
            view=view,
            codes=codes,
            conflicts_of_the_load=conflicts_of_the_load,
        )


def wanted(planted: dict[str, Any], source: str) -> dict[str, int]:
    """Rows by place, from what the generator says it planted."""
    counts = planted[source]
    return {
        'read': counts['rows'],
        'bronze': counts['distinct_rows'],
        'duplicate': sum(counts['equal_rows'].values()) + counts.get('restatements_delivered_again', 0),
        'conflict': sum(counts.get('conflicts', {}).values()),
        'rejected': sum(counts['rejects'].values()),
    }


SOURCES = ('cms_articles', 'ga4_events', 'gam_delivery')


def test_the_sample_is_accounted_for_to_the_cent(sample: Sample) -> None:
    assert sample.json['accounted'] is True
    money = sample.planted['gam_delivery']['money_usd']
    counts, waits = f'{Decimal(money["revenue"]):,} USD count', f'{money["conflicts"]} USD (1.8 %)'  # 19.05 of 1,052.49
    wanted = f'every cent accounted for; {counts}, {waits} in 64 rows wait for a decision, more than 1 % of '
    assert sample.table.rsplit('\n', 2)[1].startswith(wanted)


def test_what_waits_for_a_decision_is_looked_at_where_it_is_more_than_a_hundredth_of_a_day(sample: Sample) -> None:
    assert sample.codes == [3, 3, 3, 3]
    beyond = [
        row['day'].isoformat()
        for row in sample.view
        if row['rows_conflicting'] * 100 > row['rows_in_files']
        or abs(row['revenue_in_conflicts'] or 0) * 100 > abs(row['revenue_in_files'] or 0)
    ]
    assert sample.json['undecided'] == sorted(beyond)
    assert 0 < len(beyond) < 31
    assert f'more than 1 % of {len(beyond)} days\n' in sample.table
    assert 'class="verdict look"' in sample.page  # all is there, and too much waits


def test_a_conflict_is_one_to_the_load_the_table_and_the_account(sample: Sample) -> None:
    total = sample.json['sources']['gam_delivery']['total']['rows']['conflict']
    planted = sum(sample.planted['gam_delivery']['conflicts'].values())
    assert (sample.conflicts_of_the_load, sample.summed('gam_delivery', 'rows_conflicting'), total) == (planted,) * 3


@pytest.mark.parametrize('source', SOURCES)
def test_rows_of_the_sample_are_in_the_planted_places(sample: Sample, source: str) -> None:
    places = wanted(sample.planted, source)
    assert {place: sample.json['sources'][source]['total']['rows'][place] for place in places} == places
    of_csv = [row for row in sample.csv if row['source'] == source]
    assert {place: sum(int(row[f'rows_{place}']) for row in of_csv) for place in places} == places
    columns = {
        'read': 'rows_read',
        'bronze': 'rows_in_bronze',
        'duplicate': 'rows_duplicate',
        'conflict': 'rows_conflicting',
        'rejected': 'rows_rejected',
    }
    assert {place: sample.summed(source, column) for place, column in columns.items()} == places
    order = ('read', 'duplicate', 'bronze', 'conflict', 'rejected')
    lines = sample.table.splitlines()
    begins = next(n for n, line in enumerate(lines) if line.split()[:1] == ['rows'])
    column = lines[begins].split().index(source) - len(lines[begins].split())  # from the right: a title may have blanks
    below = itertools.takewhile(str.strip, lines[begins + 2 :])
    shown = {line[: line.index('  ')]: line.split()[column] for line in below}
    titles = ('in the files', 'duplicate', 'in bronze', 'conflicting', 'rejected')
    assert shown == {title: f'{places[place]:,}' for title, place in zip(titles, order, strict=True)}
    lines = re.findall(rf'<td[^>]*>{source}</td>(.*?)</tr>', sample.page)
    assert [f'{places[place]:,}' for place in order] in [re.findall(r'<td[^>]*>([^<]*)</td>', line) for line in lines]


@pytest.mark.parametrize('source', SOURCES)
def test_every_day_of_the_sample_adds_up(sample: Sample, source: str) -> None:
    for day in sample.json['sources'][source]['days']:
        assert day['rows']['read'] == sum(day['rows'][place] for place in PLACES), day['day']
        assert day['adds_up'], day['day']
    for row in sample.view:
        if row['source'] == source:
            parts = ('rows_duplicate', 'rows_in_bronze', 'rows_conflicting', 'rows_rejected')
            assert row['rows_read'] == sum(row[part] for part in parts) - row['rows_not_in_last_load'], row['day']
            assert row['rows_read'] == row['rows_in_files'], row['day']


@pytest.mark.parametrize('source', SOURCES)
def test_duplicate_rows_are_told_apart_by_file(sample: Sample, source: str) -> None:
    counts = sample.planted[source]['equal_rows']
    again = sample.planted[source].get('restatements_delivered_again', 0)
    same = sample.json['sources'][source]['total']['rows']['duplicate_same_file']
    assert same == counts['same_file']
    assert sample.summed(source, 'rows_duplicate_same_file') == counts['same_file']
    assert sample.summed(source, 'rows_duplicate_later_file') == counts['later_file'] + again


@pytest.mark.parametrize('source', SOURCES)
def test_rejects_are_counted_by_reason(sample: Sample, source: str) -> None:
    words = {
        'is missing': 'missing_required',
        'not an ISO 8601 timestamp': 'bad_timestamp',
        'wrong number of fields': 'wrong_field_count',
        'not a whole number of at least 0': 'bad_count',
        'not a finite decimal of at most 18 digits before and 12 after the point': 'bad_money',
    }
    counted = {words[reason]: rows for reason, rows in sample.json['sources'][source]['total']['rejects'].items()}
    assert counted == sample.planted[source]['rejects']
    in_view = Counter[str]()
    for row in sample.view:
        if row['source'] == source:
            in_view.update(row['rejects'])
    assert {words[reason]: rows for reason, rows in in_view.items()} == sample.planted[source]['rejects']
    for reason, rows in counted.items():
        word = next(word for word, name in words.items() if name == reason)
        told = f'{rows} {word.replace("is missing", "required value missing")}'
        assert told in sample.table
        assert told in sample.page


def test_late_rows_are_counted_by_lag(sample: Sample) -> None:
    for source in ('ga4_events', 'gam_delivery'):
        late = {lag.removesuffix('_days'): rows for lag, rows in sample.planted[source]['late_rows'].items()}
        assert sample.json['sources'][source]['total']['late'] == late
        in_view = Counter[str]()
        for row in sample.view:
            if row['source'] == source:
                in_view.update(row['rows_late'])
        assert in_view == late
        told = ', '.join(f'{rows:,} by {lag} day{"" if lag == "1" else "s"}' for lag, rows in late.items())
        assert told in sample.table
        assert told in sample.page


def test_the_money_of_the_sample_is_in_the_planted_places(sample: Sample) -> None:
    money = {name: Decimal(amount) for name, amount in sample.planted['gam_delivery']['money_usd'].items()}
    of = {
        place: Decimal(amount)
        for place, amount in sample.json['sources']['gam_delivery']['total']['sums']['revenue_usd'].items()
    }
    assert (of['bronze'], of['conflict'], of['rejected']) == (
        money['revenue'],
        money['conflicts'],
        money['readable_in_rejects'],
    )
    assert of['gold'] == money['revenue']
    assert of['read'] == of['duplicate'] + of['gold'] + of['conflict'] + of['rejected']
    names = {
        'revenue_in_gold': 'revenue',
        'revenue_in_bronze': 'revenue',
        'revenue_in_conflicts': 'conflicts',
        'revenue_change_in_conflicts': 'conflicts_minus_their_first_versions',
        'revenue_in_rejects': 'readable_in_rejects',
        'revenue_negative': 'negative_revenue',
    }
    for column, name in names.items():
        assert sample.summed('gam_delivery', column) == money[name], column
    for amount in (money['revenue'], money['conflicts'], money['readable_in_rejects'], of['read'], of['duplicate']):
        assert f' {round(amount, 2):,}' in sample.table  # to the cent; exact on the page and in what programs read
        assert f'{amount:,}' in sample.page
    assert '-0.893317 USD against what counts' in sample.table
    assert '<span title="-0.893317">-0.89</span> USD against what counts' in sample.page


@pytest.mark.parametrize(
    ('source', 'column', 'path', 'text'),
    [
        ('ga4_events', 'pageviews_in_gold', 'ga4_events/pageviews', None),
        ('ga4_events', 'user_engagements_in_gold', 'ga4_events/user_engagements', None),
        ('gam_delivery', 'impressions_in_gold', 'gam_delivery/impressions', None),
        ('gam_delivery', 'clicks_in_gold', 'gam_delivery/clicks', None),
        ('ga4_events', 'rows_without_content', 'ga4_events/without_content', '{} rows without content'),
        ('ga4_events', 'rows_of_unknown_content', 'ga4_events/content_unknown_to_cms', '{} rows of content the CMS'),
        ('gam_delivery', 'rows_without_content', 'gam_delivery/without_content', '{} rows without content'),
        ('gam_delivery', 'rows_of_unknown_content', 'gam_delivery/content_unknown_to_cms', '{} rows of content the CMS'),
        ('gam_delivery', 'rows_of_negative_revenue', 'gam_delivery/negative_revenue_rows', '{} rows with negative revenue'),
        (
            'gam_delivery',
            'rows_conflicting_same_file',
            'gam_delivery/conflicts/same_file',
            '{} rows with the key of another',
        ),
        (
            'gam_delivery',
            'contents_on_one_side',
            'daily_summary/rows_with_ads_but_no_events',
            '{} articles and days with ads',
        ),
        (
            'ga4_events',
            'contents_on_one_side',
            'daily_summary/rows_with_events_but_no_ads',
            '{} articles and days with event',
        ),
    ],
)
def test_the_irregularities_of_the_sample_are_counted(
    sample: Sample, source: str, column: str, path: str, text: str | None
) -> None:
    number: Any = sample.planted
    for name in path.split('/'):
        number = number[name]
    assert sample.summed(source, column) == number
    days = sample.json['sources'][source]['days']
    assert sum(Decimal(day['facts'].get(column) or 0) for day in days) == number
    if text:
        assert text.format(f'{number:,}') in sample.table
        assert text.format(f'{number:,}') in sample.page


def test_events_without_session_are_counted(sample: Sample) -> None:
    counts = sample.planted['ga4_events']
    without = counts['without_user'] + counts['without_session'] - counts['without_user_and_session']
    assert sample.summed('ga4_events', 'rows_without_session') == without


def test_rows_of_one_file_that_differ_in_numbers_alone_have_no_column_to_tell_them_apart(sample: Sample) -> None:
    assert '59 rows restated in a later file' in sample.table
    assert 'No column of the file tells them apart' in sample.table


# --- what is wrong is named, and its command repairs it -----------------------------------------------------------------


@pytest.fixture
def october(settings: Settings) -> Path:
    """Four days of October with an equal row, a late row, a restatement and rejects, all loaded."""
    deliver_october(settings.data_dir)
    backfill(1, 4)
    return settings.data_dir


Said = Callable[..., dict[str, Any]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """Reconcile; gives the JSON, which says the exit code too."""

    def run(*options: str) -> dict[str, Any]:
        capsys.readouterr()
        code = main(['reconcile', '--json', *options])
        report: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert code == (0 if report['accounted'] and not report['undecided'] else 3)
        return report

    return run


def wrong(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What is to be repaired, by kind."""
    return {finding['kind']: finding for finding in report['findings'] if finding['wrong']}


@pytest.mark.usefixtures('october')
def test_loaded_days_are_accounted_for_however_often_they_are_loaded(said: Said) -> None:
    first = said()
    assert first['accounted']
    backfill(2, 3)
    backfill(4, 4)
    again = said()
    assert again['accounted']
    assert {name: source['total'] for name, source in again['sources'].items()} == {
        name: source['total'] for name, source in first['sources'].items()
    }


def test_a_day_never_loaded_is_named_and_loaded(settings: Settings, said: Said) -> None:
    deliver_october(settings.data_dir)
    backfill(1, 2)
    backfill(4, 4)
    report = said('--source', 'gam_delivery')
    finding = wrong(report)['never loaded']
    assert finding['text'] == 'gam_delivery 2025-10-03: never loaded, 4 rows, 0.593 USD'
    accounted, waits = report['verdict'].split('; ')
    assert accounted == 'not accounted for: 0.593 USD of the files is not in gold'
    assert '1.00 USD (55.2 %) in 2 rows wait' in waits  # a row of each of the days 1 and 2, restated to 0.50
    assert finding['command'] == 'python -m kly_mage backfill --start 2025-10-03 --end 2025-10-03'
    obey(finding['command'])
    assert said()['accounted']


@pytest.mark.parametrize(
    ('kind', 'statement', 'text'),
    [
        (
            'changed',
            "update bronze.gam_delivery set revenue_usd = 1 where content_id = 'a1' and _partition_date = '2025-10-02'",
            'gam_delivery 2025-10-02: 1 row was changed in bronze after it was loaded'
            ' (gam_delivery/gam_delivery_20251002.csv, line 3)',
        ),
        (
            'changed',
            "update bronze.ga4_events set content_id = 'a2' where user_pseudo_id = 'u1' and _partition_date = '2025-10-02'",
            'ga4_events 2025-10-02: 1 row was changed in bronze after it was loaded'
            ' (ga4_events/ga4_events_20251002.csv, line 3)',
        ),
        (
            'changed',
            "update bronze.cms_articles set title = 'other' where title = 'Title of 3'",
            'cms_articles 2025-10-03: 1 row was changed in bronze after it was loaded'
            ' (cms_articles/cms_articles_20251003.csv, line 2)',
        ),
        (
            'lost',
            "delete from bronze.gam_delivery where _partition_date = '2025-10-02'",
            'gam_delivery 2025-10-02: 3 rows were deleted from bronze after they were loaded'
            ' (the first: gam_delivery/gam_delivery_20251002.csv, line 2)',
        ),
        (
            'unregistered',
            "insert into bronze.gam_delivery select * from bronze.gam_delivery where content_id = 'a1' limit 1;"
            'update bronze.gam_delivery set _hashrow = gen_random_uuid()'
            ' where ctid = (select max(ctid) from bronze.gam_delivery)',
            'gam_delivery 2025-10-01: 1 row was put into bronze by hand',
        ),
        (
            'gold',
            'update gold.gam_daily_summary set revenue_usd = revenue_usd - 0.01'
            " where served_date = '2025-10-02' and content_id = 'a1'",
            'gold.gam_daily_summary 2025-10-02: revenue_usd off by -0.01; not what bronze gives',
        ),
    ],
)
@pytest.mark.usefixtures('october')
def test_what_was_changed_by_hand_is_named_in_one_line_and_mended(
    kind: str, statement: str, text: str, query: Query, said: Said
) -> None:
    for each in statement.split(';'):
        query(each)
    finding = wrong(said())[kind]
    assert finding['text'] == text
    obey(finding['command'])
    assert said()['accounted']
    assert main(['verify']) == 0


@pytest.mark.usefixtures('october')
def test_a_day_by_itself_is_not_accounted_for_either_once_gold_counts_a_row_put_in_by_hand_at_a_time_of_its_own(
    query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    one = "select * from bronze.gam_delivery where content_id = 'a1' and _partition_date = '2025-10-01' limit 1"
    query(f'create table own as {one}')
    query('update own set _hashrow = gen_random_uuid(), _updated_at = clock_timestamp()')
    query('insert into bronze.gam_delivery select * from own')
    assert main(['rebuild']) == 0
    capsys.readouterr()
    assert main(['reconcile', '--start', '2025-10-01', '--end', '2025-10-01']) == 3
    # The oldest of the two rows of a1 on the 1st.
    assert 'not accounted for: gold and bronze differ by 0.011 USD' in capsys.readouterr().out


def test_a_file_that_changed_after_its_load_is_named_and_loaded(october: Path, said: Said) -> None:
    path = october / 'gam_delivery' / 'gam_delivery_20251002.csv'
    size = path.stat().st_size
    path.write_text(path.read_text() + '2025-10-02T09:00:00Z,/top,l9,c,a9,1,0,0.25\n')
    found = wrong(said())
    now = path.stat().st_size
    assert found['file changed']['text'] == (
        f'gam_delivery/gam_delivery_20251002.csv changed after it was loaded ({size} bytes then, {now} now)'
    )
    assert found['not loaded']['text'] == 'gam_delivery 2025-10-02: came after the day was loaded, 1 row, 0.25 USD'
    obey(found['file changed']['command'])
    assert said()['accounted']


def test_a_file_that_was_only_touched_is_no_harm(october: Path, said: Said) -> None:
    (october / 'gam_delivery' / 'gam_delivery_20251002.csv').touch()
    report = said()
    assert report['accounted']
    (told,) = [finding['text'] for finding in report['findings'] if finding['kind'] == 'file changed']
    assert told.endswith('changed after it was loaded (same size, later time); bronze holds what the files say all the same')


def test_a_file_whose_row_moved_to_another_is_not_said_to_have_kept_it(october: Path, said: Said) -> None:
    path = october / 'gam_delivery' / 'gam_delivery_20251002.csv'
    (moved,) = [line for line in path.read_text().splitlines() if ',l2,' in line]
    path.write_text(path.read_text().replace(f'{moved}\n', ''))
    other = october / 'gam_delivery' / 'gam_delivery_20251003.csv'
    other.write_text(f'{other.read_text()}{moved}\n')
    report = said('--source', 'gam_delivery')
    assert report['accounted']
    told = [finding['text'] for finding in report['findings'] if finding['kind'] == 'file changed']
    assert len(told) == 2
    assert all(text.endswith('bronze holds what the files say all the same') for text in told)


def test_a_row_that_its_file_no_longer_has_is_named_and_taken_out(october: Path, said: Said) -> None:
    path = october / 'gam_delivery' / 'gam_delivery_20251003.csv'
    path.write_text(path.read_text().replace(',l1,', ',corrected,'))
    found = wrong(said('--source', 'gam_delivery'))
    assert found['in no file']['text'] == (
        'gam_delivery 2025-10-03: 1 row of bronze in no file, 0.031 USD; a file or the declaration has changed since'
    )
    # No load takes out what is in no file any more: whichever of the two findings is followed, it repairs.
    assert found['file changed']['command'] == found['in no file']['command']
    obey(found['in no file']['command'])
    assert said('--source', 'gam_delivery')['accounted']


def test_a_deleted_file_is_named_and_its_rows_are_left_alone(october: Path, said: Said, query: Query) -> None:
    path = october / 'gam_delivery' / 'gam_delivery_20251002.csv'
    content = path.read_bytes()
    path.unlink()
    report = said()
    finding = wrong(report)['file gone']
    assert finding['text'] == 'gam_delivery/gam_delivery_20251002.csv was loaded and is not there any more'
    assert finding['command'].startswith('put it back, then ')
    assert obey(finding['command']) == 3  # it is not put back yet
    assert report['verdict'].split('; ')[0].endswith('USD in bronze is in no file')
    before = query('select count(*) from bronze.gam_delivery')
    main(['repair', '--quiet'])
    assert query('select count(*) from bronze.gam_delivery') == before
    path.write_bytes(content)
    assert obey(finding['command']) == 3  # more than 1 % waits for a decision
    assert said()['accounted']


def test_rows_outside_every_window_are_named_and_loaded_with_more_patience(
    october: Path, said: Said, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deliver(october, 'gam_delivery_20251005.csv', '2025-10-05T09:00:00Z,/top,l,c,a1,1,0,2')
    deliver(october, 'gam_delivery_20251006.csv', '2025-10-02T09:00:00Z,/late,l,c,a1,1,0,7.5')
    backfill(5, 6)
    report = said('--source', 'gam_delivery')
    finding = wrong(report)['outside']
    assert finding['text'].startswith('gam_delivery/gam_delivery_20251006.csv, line 2: 1 row dated 2025-10-02, outside')
    assert report['verdict'].split('; ')[0] == 'not accounted for: 7.50 USD of the files is not in gold'
    (tmp_path / '.env').write_text(finding['command'].partition(' in .env, then ')[0])
    monkeypatch.setenv('KLY_ENV_FILE', f'{tmp_path}/.env')
    obey(finding['command'])
    assert said('--source', 'gam_delivery')['accounted']


def test_a_file_cut_short_is_named(october: Path, said: Said) -> None:
    (october / 'gam_delivery' / 'gam_delivery_20251004.csv.gz').write_bytes(b'\x1f\x8b\x08\x00broken')
    finding = wrong(said())['unreadable']
    assert 'gam_delivery_20251004.csv.gz' in finding['text']


def test_a_file_that_cannot_be_read_wants_a_load_of_the_days_it_may_hold(settings: Settings, said: Said) -> None:
    ads, late = settings.data_dir / 'gam_delivery', '2025-10-05T09:00:00Z,/top,l,c,a1,1,0,2'
    deliver(settings.data_dir, 'gam_delivery_20251004.csv', '2025-10-04T09:00:00Z,/top,l,c,a1,1,0,2')
    whole = (ads / 'gam_delivery_20251004.csv').read_bytes()
    (ads / 'gam_delivery_20251004.csv').write_bytes(b'served_at\n1\n')
    deliver(settings.data_dir, 'gam_delivery_20251005.csv', late)
    deliver(settings.data_dir, 'gam_delivery_20251020.csv', late.replace('10-05', '10-20'))
    backfill(4, 5)
    finding = wrong(said('--source', 'gam_delivery'))['unreadable']
    # It holds rows of the 4th and late ones of three days before: nothing of the 5th and 20th, whose files are read.
    load = 'python -m kly_mage backfill --start 2025-10-04 --end 2025-10-04'
    assert finding['command'] == f'deliver the file again, then {load}'
    (ads / 'gam_delivery_20251004.csv').write_bytes(whole)
    obey(finding['command'])
    assert said('--source', 'gam_delivery', '--end', '2025-10-05')['accounted']


def test_bronze_that_waits_for_a_refresh_is_no_damage(october: Path, said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(october, 'gam_delivery_20251005.csv', '2025-10-05T09:00:00Z,/top,l,c,a1,1,0,2')
    with monkeypatch.context() as patch:
        patch.setattr('kly_mage.warehouse.postgres.blocks.run_sql', lambda *_: None)
        backfill(5)
    finding = wrong(said('--source', 'gam_delivery'))['gold']
    assert finding['text'] == (
        'gold.gam_daily_summary 2025-10-05: revenue_usd off by -2; 1 row of bronze waits for a refresh'
    )
    assert finding['command'] == 'python -m kly_mage backfill --start 2025-10-05 --end 2025-10-05'
    obey(finding['command'])
    assert said('--source', 'gam_delivery')['accounted']


@pytest.mark.parametrize('column', ['device', 'site'])
def test_the_column_that_tells_rows_of_one_file_apart_is_found(settings: Settings, said: Said, column: str) -> None:
    rows = [
        f'2025-10-01T05:00:00Z,/top,l,c,a1,{10 + n},1,{n}.5,{value},same' for n, value in enumerate(('mobile', 'desktop'))
    ]
    path = settings.data_dir / 'gam_delivery' / 'gam_delivery_20251001.csv'
    path.write_text('\n'.join([f'{HEADERS["gam_delivery"]},{column},network', *rows, '']))
    backfill(1)
    finding = next(each for each in said()['findings'] if each['kind'] == 'same key in one file')
    assert finding['text'].endswith(f'no restatement. Column {column} tells them apart')
    assert finding['command'] == f'add {column} to hash_columns of gam_delivery in kly_mage/declared/gam_delivery.py'


def test_how_much_may_wait_for_a_decision_is_a_setting(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f'2025-10-01T05:00:00Z,/top,l{n},c,a1,10,0,2' for n in range(98)]
    again = '2025-10-01T05:00:00Z,/top,l0,c,a1,11,0,0.5'  # one row of 99, half a dollar of 196.50
    deliver(settings.data_dir, 'gam_delivery_20251001.csv', *rows, again)
    assert main(['backfill', '--start', '2025-10-01', '--pipeline', 'ads_revenue', '--quiet']) == 3
    verdict = 'every cent accounted for; 196.00 USD count, 0.50 USD (0.3 %) in 1 row waits for a decision'
    for limit, more, code in (('1.02', '', 0), ('1', ', more than 1 % of 1 day', 3), ('100', '', 0)):
        monkeypatch.setenv('KLY_CONFLICT_LIMIT', limit)
        capsys.readouterr()
        assert main(['reconcile', '--source', 'gam_delivery', '--quiet']) == code
        assert capsys.readouterr().out == f'{verdict}{more}\n'


def test_where_restatements_apply_gold_is_the_newest_version_and_accounted_for(
    settings: Settings, said: Said, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SOURCES_DECLARED, 'gam_delivery', replace(GAM_DELIVERY, restatements='apply'))
    deliver_october(settings.data_dir)
    backfill(1, 4)
    report = said()
    assert report['accounted']
    total = report['sources']['gam_delivery']['total']
    sums = total['sums']['revenue_usd']
    # Each of the days 1 to 3 has a row of 0.0d0 that the next day restates to 0.5.
    assert Decimal(sums['gold']) == Decimal(sums['bronze'])
    assert (total['rows']['superseded'], total['rows']['replaced']) == (3, 3)
    assert (Decimal(sums['superseded']), Decimal(sums['replaced'])) == (Decimal('0.06'), Decimal('0.06'))
    assert 'gam_delivery: 3 rows restated in a later file; the newest version counts' in [
        finding['text'] for finding in report['findings']
    ]
    facts = query(
        "select sum(rows_in_bronze), sum(revenue_in_bronze) from gold.reconciliation where source = 'gam_delivery'"
    )
    assert facts == [(total['rows']['bronze'], Decimal(sums['gold']))]
    query("update bronze.gam_delivery set revenue_usd = 9 where content_id = 'a0' and _partition_date = '2025-10-02'")
    finding = wrong(said())['changed']
    assert finding['text'].startswith('gam_delivery 2025-10-02: 1 row was changed in bronze')


def test_a_range_of_days_is_that_part_of_the_whole(october: Path, said: Said) -> None:
    whole, part = said(), said('--start', '2025-10-02', '--end', '2025-10-03')
    assert october

    def told(day: dict[str, Any]) -> dict[str, Any]:
        facts = {name: fact for name, fact in day['facts'].items() if name != 'files_checked_at'}
        return day['rows'] | {'facts': facts}

    for name in ('ga4_events', 'gam_delivery'):
        days = {day['day']: told(day) for day in whole['sources'][name]['days']}
        of_range = {day['day']: told(day) for day in part['sources'][name]['days']}
        assert of_range == {day: days[day] for day in ('2025-10-02', '2025-10-03')}


def test_an_account_of_a_day_looks_at_the_loads_that_brought_its_rows(
    october: Path, settings: Settings, said: Said, query: Query
) -> None:
    path = october / 'gam_delivery' / 'gam_delivery_20251010.csv'
    path.write_text((october / 'gam_delivery' / 'gam_delivery_20251004.csv').read_text().replace('2025-10-04', '2025-10-10'))
    backfill(10, 10)
    day = Window(date(2025, 10, 10), date(2025, 10, 10))
    with connect(settings) as connection, connection.cursor() as cursor:
        rows = few_days.rows(cursor, GAM_DELIVERY, day).as_string(cursor)
    stamps = query("select distinct _updated_at::text from bronze.gam_delivery where _partition_date = '2025-10-10'")
    assert len(stamps) == 1
    assert rows.count('::timestamptz') == 2, 'one stamp, and the type of their list'
    query("update bronze.gam_delivery set _partition_date = '2025-10-02' where _partition_date = '2025-10-10'")
    of_day = said('--start', '2025-10-10', '--end', '2025-10-10')
    assert wrong(of_day)['changed']['text'].startswith('gam_delivery 2025-10-10: 3 rows were changed in bronze')


def test_a_day_without_its_file_is_no_complete_account_though_every_cent_of_the_others_is_there(
    settings: Settings, said: Said, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    deliver_october(settings.data_dir)
    path = settings.data_dir / 'ga4_events' / 'ga4_events_20251002.csv'
    content = path.read_bytes()
    path.unlink()
    backfill(1, 4)  # the file of the 3rd brings a late row of the 2nd
    report = said()
    finding = wrong(report)
    assert list(finding) == ['no file']
    assert finding['no file']['text'] == 'ga4_events 2025-10-02: no file; gold shows these days without its rows'
    verdict = 'not complete, there is no file for ga4_events 2025-10-02; of what was delivered: every cent accounted for'
    capsys.readouterr()
    for options in ([], ['--days'], ['--start', '2025-10-01', '--end', '2025-10-03'], ['--html', f'{tmp_path}/page.html']):
        assert main(['reconcile', '--quiet', *options]) == 3
        assert capsys.readouterr().out.startswith(verdict)
    assert verdict in (tmp_path / 'page.html').read_text('utf-8')
    assert said('--source', 'gam_delivery')['accounted']
    path.write_bytes(content)
    obey(finding['no file']['command'])
    assert 'no file' not in wrong(said())
    backfill(1, 1)  # whose late row the file brought
    assert said()['accounted']


def test_a_day_after_the_last_file_of_a_source_is_missing_where_others_have_it(settings: Settings, said: Said) -> None:
    deliver_october(settings.data_dir)
    (settings.data_dir / 'ga4_events' / 'ga4_events_20251004.csv').unlink()
    backfill(1, 4)
    assert wrong(said())['no file']['text'].startswith('ga4_events 2025-10-04: no file')


def test_an_empty_warehouse_is_told_what_to_load(settings: Settings, said: Said) -> None:
    deliver_october(settings.data_dir)
    texts = [finding['text'] for finding in said()['findings'] if finding['wrong']]
    # three rows of 0.0d0 to 0.0d2 on each day d are 0.033 + 0.063 + 0.093 + 0.123, three restatements 0.5 each
    assert 'gam_delivery 2025-10-01 to 2025-10-04: nothing of it was ever loaded, 15 rows, 1.812 USD' in texts


# --- for any source and any damage ------------------------------------------------------------------------------------


def money_of(landing_zone: Path) -> dict[str, Decimal]:
    """Revenue of all ad rows that can be read, by their October day, with nothing but the csv module."""
    sums: dict[str, Decimal] = {}
    for path in sorted((landing_zone / 'gam_delivery').glob('*.csv')):
        for row in csv.DictReader(path.read_text().splitlines()):
            if re.fullmatch(r'-?[0-9.]+', row['revenue_usd']):
                day = row['served_at'][:10]
                sums[day] = sums.get(day, Decimal(0)) + Decimal(row['revenue_usd'])
    return sums


TAMPERING = {
    'gam_delivery': {
        'change row': 'update bronze.gam_delivery set revenue_usd = revenue_usd * 2 where clicks > 1',
        'gold': 'update gold.gam_daily_summary set revenue_usd = revenue_usd + 1 where impressions > 10',
    },
    'ga4_events': {
        'change row': "update bronze.ga4_events set event_name = 'page_view' where user_pseudo_id > 'u2'",
        'gold': 'update gold.ga4_daily_summary set pageviews = pageviews + 1 where sessions > 1',
    },
}


def damage(chance: random.Random, landing_zone: Path, query: Query, source: str) -> None:
    """Anything that happens to files and tables."""
    path = chance.choice(sorted((landing_zone / source).glob('*.csv')))
    kind = chance.choice(['delete file', 'change file', 'append', 'delete row', 'change row', 'gold', 'nothing'])
    if kind == 'delete file':
        path.unlink()
    elif kind == 'change file':
        path.write_text(path.read_text().replace(',0', ',1', 2))
    elif kind == 'append':
        path.write_text(path.read_text() + path.read_text().splitlines()[-1].replace('l', 'm') + '\n')
    elif kind == 'delete row':
        ((rows,),) = query(f'select count(*) from bronze.{source}')
        which = f'select _hashrow from bronze.{source} order by 1 offset {chance.randrange(max(rows, 1))} limit 1'
        query(f'delete from bronze.{source} where _hashrow in ({which})')
    elif kind in TAMPERING[source]:
        query(TAMPERING[source][kind])


def random_events(chance: random.Random, landing_zone: Path) -> None:
    """Event files of five days: rows again, rows late or far too late, broken in any way."""
    seen: list[str] = []
    for day in range(1, 6):
        rows = []
        for _ in range(chance.randrange(1, 15)):
            kind = chance.choice(['new', 'new', 'new', 'again', 'late', 'outside', 'broken'])
            own = max(1, day - chance.randrange(1, 4)) if kind == 'late' else day
            own = own + 20 if kind == 'outside' else own
            row = (
                f'2025-10-{own:02}T12:00:{chance.randrange(60):02}Z,{chance.choice(["page_view", "scroll"])},'
                f'u{chance.randrange(5)},{chance.choice(["0", "7", ""])},a{chance.randrange(3)}'
            )
            if kind == 'again' and seen:
                row = chance.choice(seen)
                if int(row[8:10]) + 3 < day:
                    continue  # no load would take it from this file
            if kind == 'broken':
                row = chance.choice([f'yesterday{row[20:]}', re.sub(',[a-z_]+,u', ',,u', row), f'{row},more'])
            elif kind != 'outside':
                seen.append(row)
            rows.append(row)
        deliver(landing_zone, f'ga4_events_202510{day:02}.csv', *rows)


def random_october(chance: random.Random, landing_zone: Path) -> None:
    """Ad files of five days: rows again, rows late or far too late, restated, broken in any way."""
    served: list[str] = []
    for day in range(1, 6):
        rows = []
        for _ in range(chance.randrange(1, 12)):
            kind = chance.choice(['new', 'new', 'new', 'again', 'restated', 'late', 'outside', 'broken'])
            own = max(1, day - chance.randrange(1, 4)) if kind == 'late' else day
            own = own + 20 if kind == 'outside' else own
            # Noon in UTC is the same day in Jakarta, so that the reader below needs no time zone.
            key = f'2025-10-{own:02}T12:00:{chance.randrange(60):02}Z,/unit,{chance.randrange(50)},c,a{chance.randrange(3)}'
            row = f'{key},{chance.randrange(100)},{chance.randrange(3)},{chance.randrange(-99, 999) / 1000}'
            if kind in ('again', 'restated') and served:
                row = chance.choice(served)
                if int(row[8:10]) + 3 < day:
                    continue  # no load would take it from this file
                if kind == 'restated':
                    row = f'{row.rsplit(",", 1)[0]},{chance.randrange(999) / 1000}'
            if kind == 'broken':
                row = chance.choice([row.replace('/unit', ''), row.rsplit(',', 1)[0] + ',n/a', row.replace(',c,', ',c,-')])
                row = row if ',c,-' not in row else f'{key},-5,0,0.75'
            elif kind != 'outside':
                served.append(row)
            rows.append(row)
        deliver(landing_zone, f'gam_delivery_202510{day:02}.csv', *rows)


def reconciled_after_anything(chance: random.Random, settings: Settings, query: Query, source: str) -> Report:
    """Load some ranges of the five days, do some damage, and reconcile."""
    for _ in range(chance.randrange(1, 4)):
        first = chance.randrange(1, 6)
        backfill(first, chance.randrange(first, 6))
    for _ in range(chance.randrange(4)):
        damage(chance, settings.data_dir, query, source)
    return reconcile.reconcile(settings, [source])


@pytest.mark.one_version
@pytest.mark.parametrize('seed', range(8))
def test_rows_and_money_add_up_for_every_day_whatever_happened(settings: Settings, query: Query, seed: int) -> None:
    chance = random.Random(seed)
    random_october(chance, settings.data_dir)
    report = reconciled_after_anything(chance, settings, query, 'gam_delivery')
    assert_adds_up(report, settings.data_dir, query)
    in_range = reconcile.reconcile(settings, ['gam_delivery'], Window(*[report.lines[0].day] * 2))  # type: ignore[list-item]
    assert len(in_range.lines) == 1


@pytest.mark.one_version
@pytest.mark.parametrize('seed', range(8))
def test_rows_and_pageviews_add_up_for_every_day_whatever_happened(settings: Settings, query: Query, seed: int) -> None:
    chance = random.Random(seed)
    random_events(chance, settings.data_dir)
    report = reconciled_after_anything(chance, settings, query, 'ga4_events')
    delivered = [
        row for path in (settings.data_dir / 'ga4_events').glob('*.csv') for row in path.read_text().splitlines()[1:]
    ]
    usable = [row.split(',') for row in delivered if re.fullmatch(r'2025-[^,]*,[a-z_]+(,[^,]*){3}', row)]
    assert sum(line.rows['read'] for line in report.lines if 'read' in line.rows) == len(delivered)
    gold = dict(query('select event_date, sum(pageviews) from gold.ga4_daily_summary group by 1'))
    for line in report.lines:
        assert line.rows_unexplained == 0, line
        assert line.sum('pageviews', 'gold') == gold.get(line.day, 0), line
        of_day = [row for row in usable if row[0][:10] == str(line.day)]
        assert line.sum('pageviews', 'read') == sum(row[1] == 'page_view' for row in of_day), line
        assert line.sum('pageviews', 'read') == line.sum('pageviews', *PLACES), line
    wrong = any(line.gold_difference('pageviews') or line.rows.get('not_loaded') for line in report.lines)
    assert not (wrong and report.accounted)


def assert_adds_up(report: Report, landing_zone: Path, query: Query) -> None:
    """Both equations on every day; the files' money as another reader finds it; gold as the table has it."""
    read: dict[str, Decimal] = {}
    gold = dict(query('select served_date::text, sum(revenue_usd) from gold.gam_daily_summary group by 1'))
    for line in report.lines:
        assert line.rows_unexplained == 0, line
        assert line.sum('revenue_usd', 'read') == line.sum('revenue_usd', *PLACES), line
        assert line.sum('revenue_usd', 'gold') == gold.get(str(line.day), 0), line
        if amount := line.sum('revenue_usd', 'read'):
            read[str(line.day)] = amount
    truth = {day: amount for day, amount in money_of(landing_zone).items() if amount}
    assert read == truth
    missing = sum(line.sum('revenue_usd', 'not_loaded', 'outside') for line in report.lines)
    surplus = sum(line.sum('revenue_usd', 'in_no_file') for line in report.lines)
    difference = sum(line.gold_difference('revenue_usd') for line in report.lines)
    kept = ('duplicate', 'conflict', 'rejected')
    total = sum(gold.values()) + sum(line.sum('revenue_usd', *kept) for line in report.lines)
    assert sum(read.values()) == total + missing - surplus - difference
    if missing or surplus or difference:
        assert not report.accounted
        assert verdict(report).startswith('not accounted for')


def test_reading_holds_one_slice_and_not_the_file(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [f'2025-10-01T05:00:00Z,page_view,user{n},s1,a1' for n in range(20_000)]
    deliver(settings.data_dir, 'ga4_events_20251001.csv', *rows)
    backfill(1)
    monkeypatch.setattr(landing_csv, 'SLICE_BYTES', 16 << 10)
    monkeypatch.setattr(read, 'SMALL_BYTES', 16 << 10)  # the file is none that is read with others
    heights = []
    keep = piles.Piles.put

    def put(kept: piles.Piles, frame: pl.DataFrame) -> None:
        heights.append(frame.height)
        keep(kept, frame)

    monkeypatch.setattr(piles.Piles, 'put', put)
    report = reconcile.reconcile(settings, ['ga4_events'])
    assert report.accounted
    assert sum(heights) == 20_000
    assert max(heights) < 4_000


def test_two_reconciliations_at_once_leave_one_account(october: Path, settings: Settings, query: Query) -> None:
    from tests.scenes import Background

    assert october
    runs = [Background(lambda: reconcile.reconcile(settings).accounted) for _ in range(2)]
    assert [run.result() for run in runs] == [True, True]
    assert query('select count(*) from ops.file_checks where source = %s', 'gam_delivery') == [(4,)]


def test_every_column_has_a_comment(settings: Settings, query: Query) -> None:
    reconcile.reconcile(settings)
    tables = ['gold.reconciliation', 'ops.file_checks', 'ops.load_rules']
    bare = query(
        'select attrelid::regclass::text, attname from pg_attribute where attrelid = any(%s::regclass[]) and attnum > 0'
        ' and not attisdropped and col_description(attrelid, attnum) is null',
        tables,
    )
    assert bare == []
