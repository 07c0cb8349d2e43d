"""A publisher's own columns: what ``landing.toml`` may say, what it makes of a file, and what it refuses."""

import json
import os
import re
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from kly_mage.common.errors import LandingError
from kly_mage.common.settings import REPOSITORY
from kly_mage.declared import SOURCES
from kly_mage.declared.mapping import Mapping
from kly_mage.landing import fx_rates, mapping_file
from kly_mage.landing import mapping as landing_mapping
from kly_mage.rows import casting

GAM = SOURCES['gam_delivery']
EVENTS = SOURCES['ga4_events']


def typed(given: dict[str, object], rows: dict[str, list[str | None]], rates: pl.DataFrame | None = None) -> pl.DataFrame:
    source = SOURCES[str(given['source'])]
    text, problems = landing_mapping.mapped(pl.DataFrame(rows), Mapping.model_validate(given), source, rates)
    return casting.cast(text, source, 'Asia/Jakarta', noted=problems)


def reasons(frame: pl.DataFrame) -> list[str | None]:
    told = [text and json.loads(text) for text in frame['_reject']]
    return [row and f'{row["column"]} {row["reason"]}' for row in told]


def written(folder: Path, text: str) -> Path:
    path = folder / 'landing.toml'
    path.write_text(text)
    return path


def test_a_mapped_frame_has_the_declared_columns_and_keeps_the_undeclared_but_the_ignored():
    given = {'source': 'gam_delivery', 'ignore': ['Notes'], 'columns': {'ad_unit': 'Ad unit', 'site': {'constant': 'x.com'}}}
    text, _ = landing_mapping.mapped(
        pl.DataFrame({'Ad unit': ['/1/top'], 'Notes': ['-'], 'order_id': ['7']}), Mapping.model_validate(given), GAM, None
    )
    assert text.to_dicts() == [{'order_id': '7', 'ad_unit': '/1/top', 'site': 'x.com'}]


@pytest.mark.parametrize(
    ('spelled', 'decimal', 'thousands', 'value'),
    [
        ('1.234.567,891', ',', '.', Decimal('1234567.891')),
        ('1234,5', ',', '.', Decimal('1234.5')),
        ('1,234.50', '.', ',', Decimal('1234.5')),
        ("1'000", '.', "'", Decimal(1000)),
        ('-12,5', ',', None, Decimal('-12.5')),
        ('1.23', ',', '.', None),
        ('1.2345', ',', '.', None),
        ('12.34,5', ',', '.', None),
        ('1,234.50', ',', '.', None),
    ],
)
def test_signs_of_numbers_are_those_declared_and_no_number_is_guessed(spelled, decimal, thousands, value):
    given = {'source': 'gam_delivery', 'decimal': decimal, 'columns': {'revenue_usd': 'Revenue'}}
    frame = typed(given | ({'thousands': thousands} if thousands else {}), {'Revenue': [spelled]})
    assert frame['revenue_usd'][0] == value
    told = 'revenue_usd no number with decimal sign'
    assert (reasons(frame)[0] or '').startswith(told) == (value is None)


@pytest.mark.parametrize(
    ('unit', 'spelled', 'value'),
    [
        ('micros', '1234567', '1.234567'),
        ('micros', '7', '0.000007'),
        ('micros', '-7', '-0.000007'),
        ('micros', '0', '0'),
        ('micros', '1.5', None),
        ('cents', '1999', '19.99'),
        ('cents', '-5', '-0.05'),
    ],
)
def test_micros_and_cents_become_exact_amounts(unit, spelled, value):
    given = {'source': 'gam_delivery', 'columns': {'revenue_usd': {'from': 'Revenue', 'unit': unit}}}
    frame = typed(given, {'Revenue': [spelled]})
    assert frame['revenue_usd'][0] == (value and Decimal(value))
    assert (reasons(frame)[0] == f'revenue_usd no whole number of {unit}') == (value is None)


def test_a_date_is_a_day_in_the_zone_of_the_file():
    given = {
        'source': 'gam_delivery',
        'zone': 'America/New_York',
        'columns': {'served_at': {'from': 'Date', 'date': '%d.%m.%Y'}},
    }
    frame = typed(given, {'Date': ['01.10.2025', '31.2.2025', '2025-10-01', None]})
    assert [str(at) for at in frame['served_at']] == ['2025-10-01 04:00:00+00:00', 'None', 'None', 'None']
    told = 'served_at not a date like %d.%m.%Y, or one that the clocks of America/New_York skip'
    assert reasons(frame)[1:3] == [told, told]


def test_a_row_that_cannot_be_mapped_does_not_move_the_zone_of_the_others():
    given = {'source': 'gam_delivery', 'zone': 'UTC', 'columns': {'served_at': {'from': 'Date', 'date': '%Y%m%d'}}}
    alone, beside = typed(given, {'Date': ['20251001']}), typed(given, {'Date': ['20251001', 'x']})
    assert beside['served_at'][0] == alone['served_at'][0]


@pytest.mark.parametrize(
    ('form', 'spelled'),
    [('epoch_seconds', '1759276800'), ('epoch_millis', '1759276800000'), ('epoch_micros', '1759276800000000')],
)
def test_a_whole_number_since_1970_is_an_instant_whatever_the_zone(form, spelled):
    given = {
        'source': 'ga4_events',
        'zone': 'America/New_York',
        'columns': {'event_timestamp': {'from': 'at', 'date': form}},
    }
    frame = typed(given, {'at': [spelled, '9' * 19, '1e9']})
    assert str(frame['event_timestamp'][0]) == '2025-10-01 00:00:00+00:00'
    assert frame['event_timestamp'].null_count() == 2


def test_an_expression_takes_the_article_out_of_an_address():
    given = {'source': 'ga4_events', 'columns': {'content_id': {'from': 'page_location', 'match': '/([0-9]+)(?:[/?]|$)'}}}
    frame = typed(given, {'page_location': ['https://x.com/a/123?b=1', 'https://x.com/about', None]})
    assert frame['content_id'].to_list() == ['123', None, None]


def test_the_value_of_a_key_is_taken_and_a_row_of_another_key_refuses_the_file():
    given = {'source': 'gam_delivery', 'columns': {'content_id': {'from': 'Key-values', 'key': 'content_id'}}}
    values = ['content_id=123', 'site=a; content_id = 7', '(none)', '', None]
    assert typed(given, {'Key-values': values})['content_id'].to_list() == ['123', '7', None, None, None]
    with pytest.raises(LandingError, match=r"Key-values has 'section=sport' .* filter the report to content_id"):
        typed(given, {'Key-values': ['content_id=123', 'section=sport']})


def test_amounts_are_changed_by_the_rate_of_their_day_exactly(tmp_path):
    rates = tmp_path / 'fx_rates.csv'
    rates.write_text('date,currency,usd\n2025-10-01,EUR,1.0812\n2025-10-02,EUR,1.0800000001\n')
    given = {'source': 'gam_delivery', 'columns': {'revenue_usd': {'from': 'Revenue', 'currency_from': 'Currency'}}}
    frame = typed(
        given,
        {
            'served_at': ['2025-10-01', '2025-10-02', '2025-10-03', '2025-10-03'],
            'Revenue': ['10.01', '0.000000000005', '5', '5'],
            'Currency': ['EUR', 'EUR', 'EUR', 'USD'],
        },
        fx_rates.rates_of(rates.parent, rates.name),
    )
    assert frame['revenue_usd'].to_list() == [Decimal('10.822812'), Decimal('5e-12'), None, Decimal(5)]
    assert reasons(frame)[2] == 'revenue_usd has no rate for its day and currency in fx_rates.csv'


@pytest.mark.parametrize(
    ('lines', 'told'),
    [
        ('2025-10-01,EUR,x', 'line 2 is no rate'),
        ('2025-10-01,EUR,1\n2025-13-01,EUR,1', 'line 3 is no rate'),
        ('2025-10-01,EUR,1\n2025-10-01,EUR,2', 'line 3 gives a second rate'),
    ],
)
def test_a_rate_that_is_none_is_named_with_its_line(tmp_path, lines, told):
    (tmp_path / 'fx_rates.csv').write_text(f'date,currency,usd\n{lines}\n')
    with pytest.raises(LandingError, match=f'fx_rates.csv: {told}'):
        fx_rates.rates_of(tmp_path, 'fx_rates.csv')


BEGIN = "[[mapping]]\nsource = 'gam_delivery'\n"


@pytest.mark.parametrize(
    ('text', 'told'),
    [
        ("[[mapping]]\nsource = 'gam'\n", 'line 2, column 1: source: gam is no source'),
        ("[[mapping]]\nfiles = 'a'\n", 'line 1, column 1: source: Field required'),
        (BEGIN + "\n[[mapping]]\nsource = 'cms_articles'\nzona = 'x'\n", 'line 6, column 1: zona: Extra inputs'),
        (BEGIN + "zone = 'Mars'\n", 'line 3, column 1: zone: is no time zone'),
        (BEGIN + "decimal = ','\nthousands = ','\n", 'decimal and thousands are the same sign'),
        (
            BEGIN + "[mapping.columns]\nsites = 'Site'\n",
            'line 4, column 1: columns.sites: sites is no column of gam_delivery',
        ),
        (
            BEGIN + "[mapping.columns]\nsite = { from = 'a', unit = 'micros' }\n",
            'line 4, column 22: columns.site.unit: site is text; unit is for money',
        ),
        (
            BEGIN + "[mapping.columns]\ncontent_id = { from = 'a', match = '(a' }\n",
            'line 4, column 28: columns.content_id.match: no regular expression',
        ),
        (BEGIN + "[mapping.columns]\ncontent_id = { from = 'a', match = 'a' }\n", 'needs one group in round brackets'),
        (
            "[[mapping]]\nsource = 'ga4_events'\necpm_limit = 5\n",
            'line 3, column 1: ecpm_limit: ga4_events has no bound of that kind',
        ),
        (BEGIN + 'ecpm_limit = 0\n', 'line 3, column 1: ecpm_limit: Input should be greater than or equal to 1'),
        (BEGIN + '[mapping.columns]\nsite = { }\n', 'needs either from, a column of the file, or a constant'),
        (BEGIN + "[mapping.columns]\nserved_at = { from = 'a', date = '%H:%M' }\n", 'is no format of a date'),
        ("[[mapping]]\nsource = 'gam'\nfiles = a\n", 'at line 3, column 9'),
    ],
)
def test_a_wrong_mapping_is_refused_with_line_and_column(tmp_path, text, told):
    with pytest.raises(LandingError) as refused:
        mapping_file.mappings(written(tmp_path, text))
    assert str(refused.value).startswith('landing.toml: ')
    assert told in str(refused.value)


def test_the_first_mapping_whose_pattern_fits_a_name_counts(tmp_path):
    given = mapping_file.mappings(
        written(tmp_path, BEGIN + "files = 'a*.csv'\n\n" + BEGIN + "zone = 'UTC'\n\n[[mapping]]\nsource = 'ga4_events'\n")
    )
    names = ('gam_delivery/a1.csv', 'gam_delivery/b.csv')
    assert [mapping_file.mapping_of(GAM, name, given) for name in names] == list(given[:2])
    assert mapping_file.mapping_of(EVENTS, 'ga4_events/a1.csv', given) == given[2]
    assert mapping_file.mapping_of(SOURCES['cms_articles'], 'cms_articles/a1.csv', given) is None


def test_without_a_file_nothing_is_mapped(tmp_path):
    assert mapping_file.mappings(tmp_path / 'landing.toml') == ()


@pytest.mark.parametrize('kind', ['pipe', 'link', 'folder'])
def test_what_is_no_regular_file_is_not_read_as_a_mapping_and_nothing_waits_for_it(tmp_path, kind):
    path = tmp_path / 'landing.toml'
    if kind == 'pipe':
        os.mkfifo(path)
    elif kind == 'link':
        (tmp_path / 'elsewhere').write_text('')
        path.symlink_to(tmp_path / 'elsewhere')
    else:
        path.mkdir()
    with pytest.raises(LandingError, match=r'landing.toml: (no regular file|cannot be read)'):
        mapping_file.mappings(path)


def test_a_mapping_of_no_end_is_refused_before_it_is_parsed(tmp_path):
    with pytest.raises(LandingError, match=r'landing.toml: has more than 1,048,576 bytes'):
        mapping_file.mappings(written(tmp_path, '#' * (1 << 20) + '\n'))


def test_the_example_of_the_docs_is_a_mapping_that_can_be_meant(tmp_path: Path) -> None:
    text = (REPOSITORY / 'docs/own-data.md').read_text('utf-8')
    (example,) = re.findall(r'^```toml\n(.*?)^```$', text, re.DOTALL | re.MULTILINE)
    (found,) = mapping_file.mappings(written(tmp_path, example))
    assert list(found.columns) == ['ad_unit', 'site', 'served_at', 'content_id', 'revenue_usd']
