"""Files in a publisher's own columns, and reports of Ad Manager, loaded to the same rows as files of our own shape."""

import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import Settings
from tests.delivery import ads
from tests.gold import Query

pytestmark = pytest.mark.one_version

Captured = pytest.CaptureFixture[str]
OURS = """\
served_at,ad_unit,line_item,creative,content_id,impressions,clicks,revenue_usd
2025-10-01,top,Sponsor,c1,12,1000,3,1234.56
2025-10-01,top,Sponsor,c1,13,500,0,0.000001
2025-10-01,top,Sponsor,c2,,7,0,-0.5
"""
REPORT = """\
Dimension.DATE,Dimension.AD_UNIT_NAME,Dimension.LINE_ITEM_NAME,Dimension.CREATIVE_NAME,Dimension.CUSTOM_CRITERIA,\
Column.AD_SERVER_IMPRESSIONS,Column.AD_SERVER_CLICKS,Column.TOTAL_LINE_ITEM_LEVEL_ALL_REVENUE
2025-10-01,top,Sponsor,c1,content_id=12,1000,3,1234560000
2025-10-01,top,Sponsor,c1,content_id=13,500,0,1
2025-10-01,top,Sponsor,c2,,7,0,-500000
"""
EXPORTED = """\
Report name,Daily
Generated on,"11/1/25, 6:00 AM"

Date,Ad unit,Line item,Creative,Key-values,Total impressions,Total clicks,Total CPM and CPC revenue ($)
"Oct 1, 2025",top,Sponsor,c1,content_id=12,"1,000",3,"$1,234.56"
"Oct 1, 2025",top,Sponsor,c1,content_id=13,500,0,$0.000001
"Oct 1, 2025",top,Sponsor,c2,-,7,-,-$0.50
Total,-,-,-,-,"1,507",3,"$1,234.060001"
"""
_ROW = """{"dimensionValues": [{"intValue": "20251001"}, {"stringValue": "top"}, {"stringValue": "Sponsor"}, \
{"stringValue": "CREATIVE"}, {KEY}], "metricValueGroups": [{"primaryValues": [{"intValue": "IMPRESSIONS"}, \
{"intValue": "CLICKS"}, {"doubleValue": REVENUE}]}]}
"""


def _api_row(creative: str, key: str, impressions: str, clicks: str, revenue: str) -> str:
    row = _ROW.replace('CREATIVE', creative).replace('{KEY}', f'{{"stringValue": "{key}"}}' if key else '{}')
    return row.replace('IMPRESSIONS', impressions).replace('CLICKS', clicks).replace('REVENUE', revenue)


API_ROWS = (
    '{"reportDefinition": {"dimensions": ["DATE", "AD_UNIT_NAME", "LINE_ITEM_NAME", "CREATIVE_NAME", "KEY_VALUES_NAME"], '
    '"metrics": ["AD_SERVER_IMPRESSIONS", "AD_SERVER_CLICKS", "AD_SERVER_REVENUE"]}}\n'
    + _api_row('c1', 'content_id=12', '1000', '3', '1234.56')
    + _api_row('c1', 'content_id=13', '500', '0', '1e-06')
    + _api_row('c2', '', '7', '0', '-0.5')
)
PUBLISHERS = """\
Tag,Anzeige,Kampagne,Motiv,Artikel,Impressionen,Klicks,Umsatz,Notiz
01.10.2025,top,Sponsor,c1,https://x.com/a/12?b=1,1.000,3,"1.234,56",-
01.10.2025,top,Sponsor,c1,https://x.com/a/13,500,0,"0,000001",-
01.10.2025,top,Sponsor,c2,,7,0,"-0,5",-
"""
MAPPING = """\
[[mapping]]
source = 'gam_delivery'
files = 'ads_*.csv'
decimal = ','
thousands = '.'
ignore = ['Notiz']

[mapping.columns]
served_at = { from = 'Tag', date = '%d.%m.%Y' }
ad_unit = 'Anzeige'
line_item = 'Kampagne'
creative = 'Motiv'
content_id = { from = 'Artikel', match = '/a/([0-9]+)' }
impressions = 'Impressionen'
clicks = 'Klicks'
revenue_usd = 'Umsatz'
"""
ROWS = (
    'select served_at, ad_unit, line_item, creative, content_id, impressions, clicks, revenue_usd, _hashrow '
    'from bronze.gam_delivery order by _hashrow'
)


def delivered(settings: Settings, name: str, text: str) -> Path:
    path = settings.data_dir / 'gam_delivery' / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ('name', 'text'),
    [('report.csv', REPORT), ('exported.csv', EXPORTED), ('rows.json', API_ROWS), ('ads_1.csv', PUBLISHERS)],
)
def test_the_same_delivery_is_the_same_rows_in_every_shape(
    settings: Settings, query: Query, capsys: Captured, name: str, text: str
) -> None:
    (settings.data_dir / 'landing.toml').write_text(MAPPING)
    delivered(settings, name, text)
    assert ads('2025-10-01', '2025-10-01') == 0
    loaded = query(ROWS)
    assert sum(row[7] for row in loaded) == Decimal('1234.060001')
    delivered(settings, 'gam_delivery_20251001.csv', OURS)
    capsys.readouterr()
    assert ads('2025-10-01', '2025-10-01') == 0
    assert query(ROWS) == loaded
    assert '3 already loaded, 0 rejected, 0 conflicting, 3 already loaded (file unchanged)' in capsys.readouterr().out


def test_a_mapped_row_that_cannot_be_used_is_a_reject_with_the_reason_of_its_mapping(
    settings: Settings, query: Query
) -> None:
    (settings.data_dir / 'landing.toml').write_text(MAPPING)
    delivered(settings, 'ads_1.csv', PUBLISHERS.replace('1.000,3', '1.00,3'))
    assert ads('2025-10-01', '2025-10-01') == 3
    assert query('select line, column_name, value, reason from bronze.rejects') == [
        (2, 'impressions', '1.00', "no number with decimal sign ',' and thousands sign '.'")
    ]


def test_amounts_in_another_currency_need_the_rate_of_their_day(settings: Settings, query: Query) -> None:
    (settings.data_dir / 'landing.toml').write_text(MAPPING.replace("'Umsatz'", "{ from = 'Umsatz', currency = 'EUR' }"))
    delivered(settings, 'ads_1.csv', PUBLISHERS)
    assert ads('2025-10-01', '2025-10-01') == 1  # no rates at all: the file is left out, and there is no other
    (settings.data_dir / 'fx_rates.csv').write_text('date,currency,usd\n2025-10-01,EUR,1.5\n')
    assert ads('2025-10-01', '2025-10-01') == 0
    assert query('select sum(revenue_usd) from bronze.gam_delivery') == [(Decimal('1851.0900015'),)]


def test_a_wrong_mapping_stops_every_load_and_names_its_line(settings: Settings, capsys: Captured) -> None:
    (settings.data_dir / 'landing.toml').write_text(MAPPING + "sites = 'x'\n")
    delivered(settings, 'gam_delivery_20251001.csv', OURS)
    assert ads('2025-10-01', '2025-10-01') == 1
    assert 'landing.toml: line 17, column 1: columns.sites: sites is no column of gam_delivery' in capsys.readouterr().err


def test_a_report_of_another_key_is_left_out_by_name(settings: Settings, query: Query, capsys: Captured) -> None:
    delivered(settings, 'report.csv', REPORT.replace('content_id=13', 'section=sport'))
    delivered(settings, 'gam_delivery_20251001.csv', OURS)
    assert ads('2025-10-01', '2025-10-01') == 3
    assert query('select count(*) from bronze.gam_delivery') == [(3,)]
    assert "Dimension.CUSTOM_CRITERIA has 'section=sport' beside rows of content_id" in capsys.readouterr().err


def test_a_file_without_a_column_that_its_mapping_names_is_left_out(settings: Settings, capsys: Captured) -> None:
    (settings.data_dir / 'landing.toml').write_text(MAPPING)
    delivered(settings, 'ads_1.csv', PUBLISHERS.replace('Motiv', 'Bild'))
    assert ads('2025-10-01', '2025-10-01') == 1
    assert "gam_delivery/ads_1.csv: there is no column 'Motiv', from which creative comes" in capsys.readouterr().err


def test_the_mapping_that_inspect_prints_makes_the_file_loadable(settings: Settings, query: Query, capsys: Captured) -> None:
    path = delivered(
        settings,
        'export.csv',
        'Datum,Ad Unit,Line Item,Impressions,Clicks,Revenue (USD)\n01.10.2025,top,a,1000,0,0.5\n',
    )
    capsys.readouterr()
    assert main(['inspect', '--mapping', str(path)]) == 0
    (settings.data_dir / 'landing.toml').write_text(capsys.readouterr().out)
    assert main(['inspect', str(path)]) == 0
    assert 'gam_delivery, read by landing.toml: 6 columns, 1 row' in capsys.readouterr().out
    assert ads('2025-10-01', '2025-10-01') == 0
    assert query('select ad_unit, line_item, revenue_usd from bronze.gam_delivery') == [('top', 'a', Decimal('0.5'))]


def test_inspect_says_what_would_be_rejected_and_loads_nothing(settings: Settings, capsys: Captured) -> None:
    path = delivered(settings, 'report.csv', REPORT.replace('1234560000', '1234.56'))
    assert main(['inspect', str(path)]) == 3
    told = capsys.readouterr().out
    assert 'read as a report of Ad Manager: 8 columns, 3 rows' in told
    assert 'would be rejected: 1, the first in line 2: revenue_usd no whole number of micros' in told
    assert 'days in Asia/Jakarta (rows): 2025-10-01 (2)' in told


def test_the_rates_that_a_mapping_beside_the_landing_zone_names_are_no_stray_file(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    mapping = MAPPING.replace("'Umsatz'", "{ from = 'Umsatz', currency = 'EUR' }").replace(
        "decimal = ','", "rates = 'kurse.csv'\ndecimal = ','"
    )
    (tmp_path / 'ours.toml').write_text(mapping)
    monkeypatch.setenv('KLY_MAPPING', str(tmp_path / 'ours.toml'))
    (settings.data_dir / 'kurse.csv').write_text('date,currency,usd\n2025-10-01,EUR,1.5\n')
    delivered(settings, 'ads_1.csv', PUBLISHERS)
    assert ads('2025-10-01', '2025-10-01') == 0
    assert 'not understood' not in capsys.readouterr().err


def test_micros_taken_for_units_are_left_out_as_a_file_and_nothing_of_it_counts(
    settings: Settings, query: Query, capsys: Captured
) -> None:
    path = delivered(settings, 'gam_delivery_20251002.csv', OURS.replace('1234.56', '1234560000').replace('10-01', '10-02'))
    delivered(settings, 'gam_delivery_20251001.csv', OURS)
    assert ads('2025-10-01', '2025-10-02') == 3
    assert query('select sum(revenue_usd) from bronze.gam_delivery') == [(Decimal('1234.060001'),)]
    assert query('select sum(revenue_usd) from gold.gam_daily_summary') == [(Decimal('1234.060001'),)]
    # 1,234,560,000.500001 (a correction counts without its sign) for 1,507 impressions
    assert 'revenue_usd is 819,216,987.72 for 1,000 impressions' in capsys.readouterr().err
    assert main(['inspect', str(path)]) == 1
    assert 'revenue_usd is 819,216,987.72 for 1,000 impressions' in capsys.readouterr().err
    (settings.data_dir / 'landing.toml').write_text("[[mapping]]\nsource = 'gam_delivery'\necpm_limit = 900_000_000\n")
    assert ads('2025-10-01', '2025-10-02') == 0
    assert query('select sum(revenue_usd) from bronze.gam_delivery') == [
        (Decimal('1234561233.560002'),)
    ]  # 1,234.060001 and 1,234,559,999.500001


def test_units_taken_for_micros_are_a_broken_rule(settings: Settings, query: Query) -> None:
    report = REPORT.replace('1234560000', '999').replace('-500000', '0')
    delivered(settings, 'report.csv', report)
    assert ads('2025-10-01', '2025-10-01') == 0
    # 999 dollars, taken for micros, for 1,000 impressions; the other rows have fewer than 1,000
    assert query('select rule, rows_broken from ops.load_rules') == [
        ('revenue is no millionth of what is paid: units taken for micros', 1)
    ]


def test_a_report_whose_rows_are_not_its_total_is_left_out_with_both_sums(
    settings: Settings, query: Query, capsys: Captured
) -> None:
    path = delivered(settings, 'exported.csv', EXPORTED.replace('500,0', '501,0'))
    delivered(settings, 'gam_delivery_20251001.csv', OURS)
    assert ads('2025-10-01', '2025-10-01') == 3
    assert query('select sum(impressions) from bronze.gam_delivery') == [(1507,)]
    assert "its line 'Total' says 1,507 impressions, its rows add up to 1,508" in capsys.readouterr().err
    delivered(settings, 'exported.csv', EXPORTED)
    assert main(['inspect', str(path)]) == 0
    assert 'read as a report of Ad Manager: 8 columns, 3 rows' in capsys.readouterr().out


FIELDS = 'Time,TimeUsec2,AdUnitId,LineItemId,CreativeId,CustomTargeting,ImpressionId,KeyPart'


def hour(settings: Settings, kind: str, name: str, *events: tuple[int, int, str]) -> Path:
    """An hour's Data Transfer file: of each event the number, the seconds after noon, and what stands in further fields."""
    more = {'NetworkBackfillImpressions': ',EstimatedBackfillRevenue', 'NetworkClicks': ',EventTimeUsec2,EventKeyPart'}
    noon = 1_759_294_800_000_000
    lines = [
        f'2025-10-01-12:00:00,{noon + at * 1_000_000 + number},top,li,c,content_id=7,imp{number},k{number}{further}'
        for number, at, further in events
    ]
    return delivered(settings, f'{kind}_5_20251001_{name}', '\n'.join([FIELDS + more.get(kind, ''), *lines, '']))


def test_data_transfer_files_add_up_and_coming_again_changes_nothing(
    settings: Settings, query: Query, capsys: Captured
) -> None:
    gold = 'select impressions, clicks, revenue_usd from gold.gam_daily_summary'
    first = [(n, n, '') for n in range(1, 101)]
    path = hour(settings, 'NetworkImpressions', '12', *first)
    hour(settings, 'NetworkBackfillImpressions', '12', *((n, n, ',0.001') for n in range(201, 301)))
    hour(settings, 'NetworkClicks', '12', (1, 1, ',1759294900000000,x'), (2, 2, ',1759294900000001,x'))
    assert ads('2025-10-01', '2025-10-01') == 0
    assert query(gold) == [(200, 2, Decimal('0.1'))]
    # Late events of that quarter come with the next hour, and the first hour comes again, in another order and packed.
    hour(settings, 'NetworkImpressions', '13', *((n, n - 300, '') for n in range(301, 311)))
    lines = path.read_text().splitlines()
    delivered(settings, 'NetworkImpressions_5_20251001_12.csv', '\n'.join([lines[0], *reversed(lines[1:]), '']))
    capsys.readouterr()
    assert ads('2025-10-01', '2025-10-01') == 0
    assert query(gold) == [(210, 2, Decimal('0.1'))]
    assert '0 conflicting' in capsys.readouterr().out
    assert main(['inspect', str(path)]) == 0
    assert 'read as Data Transfer of Ad Manager, its events added up: 8 columns, 1 row' in capsys.readouterr().out
    assert main(['verify']) == 0
    assert main(['reconcile', '--start', '2025-10-01', '--end', '2025-10-01']) == 0


SAMPLE = Path(__file__).parents[1] / 'data_transfer'


def test_the_sample_of_an_hour_of_data_transfer_counts_as_worked_out_by_hand(
    settings: Settings, query: Query, capsys: Captured
) -> None:
    for file in SAMPLE.iterdir():
        shutil.copy(file, settings.data_dir / 'gam_delivery' / file.name)
    assert ads('2025-10-01', '2025-10-01') == 0
    # Of six impressions sold one stands there twice, one is of no article. Backfill: 0.00125 + 0.0005 on a1, 0.003 on a2.
    assert query('select content_id, impressions, clicks, revenue_usd from gold.gam_daily_summary order by content_id') == [
        ('(not set)', 1, 0, Decimal(0)),
        ('a1', 5, 1, Decimal('0.00175')),
        ('a2', 2, 0, Decimal('0.003')),
    ]
    # A row per quarter of an hour, ad unit, line item, creative and article, of each file: 4 + 2 + 1.
    assert query('select count(*) from bronze.gam_delivery') == [(7,)]
    assert main(['reconcile', '--start', '2025-10-01', '--end', '2025-10-01']) == 0
    capsys.readouterr()
    assert main(['inspect', *map(str, SAMPLE.iterdir())]) == 0
    assert capsys.readouterr().out.count('read as Data Transfer of Ad Manager, its events added up') == 3
