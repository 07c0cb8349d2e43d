"""Reports exported from Ad Manager's pages: title, words, spellings, the line of sums, and what is refused in words."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from kly_mage.common.errors import LandingError
from tests.landing.zone import Write, read

NAME = 'gam_delivery/report.csv'
TITLE = """\
Report name,Revenue by article
Date range,"October 1, 2025 - October 31, 2025"
Report time zone,"(GMT+07:00) Jakarta"
Generated on,"11/1/25, 6:00 AM"

"""
HEADER = (
    'Date,Ad unit,Line item,Creative,Key-values,Total impressions,Total clicks,Total CPM and CPC revenue ($),Total CTR\n'
)
ROWS = """\
10/13/25,top,Sponsor,c1,content_id=12,"1,000",3,"$1,234.56",0.3%
10/13/25,top,Sponsor,c1,content_id=13,500,0,$0.000001,0%
10/14/25,top,-,c2,-,7,-,-$0.50,0%
"""
TOTAL = 'Total,-,-,-,-,"1,507",3,"$1,234.060001",0.2%\n'
REPORT = TITLE + HEADER + ROWS + TOTAL
OWN = "[[mapping]]\nsource = 'gam_delivery'\n"


def rows(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    assert frame['_reject'].null_count() == frame.height, frame['_reject'].to_list()
    names = ('served_at', 'ad_unit', 'line_item', 'creative', 'content_id', 'impressions', 'clicks', 'revenue_usd', '_line')
    return frame.select(names).rows()


def at(day: int) -> datetime:
    """Midnight of that day of October in Jakarta."""
    return datetime(2025, 9, 30, 17, tzinfo=UTC).replace(day=30) if day == 1 else datetime(2025, 10, day - 1, 17, tzinfo=UTC)


EXPECTED = [
    (at(13), 'top', 'Sponsor', 'c1', '12', 1000, 3, Decimal('1234.56'), 7),
    (at(13), 'top', 'Sponsor', 'c1', '13', 500, 0, Decimal('0.000001'), 8),
    (at(14), 'top', None, 'c2', None, 7, 0, Decimal('-0.5'), 9),
]


def test_a_report_loads_without_its_title_and_its_total_each_row_with_its_line(write: Write) -> None:
    assert rows(read(write(REPORT, NAME))) == EXPECTED


@pytest.mark.parametrize('sign', [';', '\t'])
def test_the_sign_between_fields_and_the_mark_of_utf_8_do_not_matter(write: Write, sign: str) -> None:
    body = pl.read_csv((HEADER + ROWS + TOTAL).encode(), infer_schema=False).write_csv(separator=sign)
    assert rows(read(write('\ufeff' + TITLE + body, NAME))) == EXPECTED


def test_a_last_line_without_its_end_is_checked_all_the_same(write: Write) -> None:
    assert rows(read(write(REPORT.rstrip('\n'), NAME))) == EXPECTED
    with pytest.raises(LandingError, match=r"its line 'Total' says 1,234.06 revenue_usd, its rows add up to 1,234\.060001"):
        read(write(TITLE + HEADER + ROWS + 'Total,-,-,-,-,"1,507",3,"$1,234.06",0%', NAME))


def test_a_report_without_title_is_recognised_by_its_words(write: Write) -> None:
    frame = read(write(HEADER + ROWS + TOTAL, NAME))
    assert [row[:-1] for row in rows(frame)] == [row[:-1] for row in EXPECTED]
    assert frame['_line'].to_list() == [2, 3, 4]


@pytest.mark.parametrize(
    ('changed', 'told'),
    [
        (('"1,507",3', '"1,508",3'), "its line 'Total' says 1,508 impressions, its rows add up to 1,507: deliver it again"),
        (('"1,507",3', '"1,507",4'), 'says 4 clicks, its rows add up to 3:'),
        (('1,234.060001', '1,234.060002'), r'says 1,234\.060002 revenue_usd, its rows add up to 1,234\.060001:'),
        ((ROWS.splitlines()[1] + '\n', ''), r'says 1,507 impressions, its rows add up to 1,007'),
        (('500,0', 'many,0'), r'says 1,507 impressions, its rows add up to 1,007; 1 value is no number: deliver'),
        ((TOTAL, ''), r"has no line 'Total' at its end, so it is cut short: deliver it again, or say total = ''"),
        ((TOTAL, 'Total,-,-,-,-,-,-,-,-\n'), "has no line 'Total' at its end"),
        ((TOTAL, TOTAL + ROWS), "there are rows behind the line 'Total', which is its last"),
        ((TOTAL, TOTAL * 2), "there are rows behind the line 'Total', which is its last"),
    ],
)
def test_rows_that_are_not_what_the_total_says_refuse_the_file_with_both_sums(
    write: Write, changed: tuple[str, str], told: str
) -> None:
    with pytest.raises(LandingError, match=f'^{NAME}: .*{told}'):
        read(write(REPORT.replace(*changed), NAME))


def test_a_report_that_has_no_total_is_loaded_if_that_is_said(write: Write) -> None:
    write(OWN + "total = ''\n", 'landing.toml')
    assert rows(read(write(TITLE + HEADER + ROWS, NAME))) == EXPECTED
    frame = read(write(REPORT, NAME))  # whose total is a row then, of no day
    assert frame['_reject'].null_count() == 3
    assert frame['_line'].to_list() == [7, 8, 9, 10]


def test_a_row_that_cannot_be_used_counts_in_the_sum_and_is_a_reject(write: Write) -> None:
    frame = read(write(REPORT.replace('10/14/25', 'never'), NAME))
    assert frame.filter(pl.col('_reject').is_not_null())['_line'].to_list() == [9]
    assert 'served_at' in frame['_reject'][2]


@pytest.mark.parametrize(
    ('spelled', 'day'),
    [
        ('2025-10-13', 13),
        ('2025/10/1', 1),
        ('01.10.2025', 1),
        ('1.10.25', 1),
        ('13/10/25', 13),
        ('10/13/2025', 13),
        ('13-10-2025', 13),
        ('1 Okt 2025', 1),
        ('1. Oktober 2025', 1),
        ('Oct 1, 2025', 1),
        ('1 de out. de 2025', 1),
        ('1 octobre 2025', 1),
    ],
)
def test_dates_are_read_in_every_order_that_the_file_tells(write: Write, spelled: str, day: int) -> None:
    quoted = f'"{spelled}"' if ',' in spelled else spelled
    frame = read(write(HEADER + f'{quoted},top,a,b,-,10,0,$0.5,0%\nTotal,-,-,-,-,10,0,$0.5,0%\n', NAME))
    assert rows(frame)[0][0] == at(day)


def test_one_date_tells_the_order_of_all_others_wherever_it_stands(write: Write) -> None:
    many = ''.join(f'10/{n % 12 + 1}/25,u{n},a,b,-,1,0,0,0%\n' for n in range(200_000))
    frame = read(write(HEADER + many + '10/13/25,top,a,b,-,1,0,0,0%\nTotal,,,,,200001,0,0,0%\n', NAME))
    assert frame['_reject'].null_count() == frame.height == 200_001
    assert frame['_partition_date'].dt.month().unique().to_list() == [10]


@pytest.mark.parametrize(
    ('dates', 'told'),
    [
        (
            ['10/1/25', '10/12/25'],
            "dates like '10/1[2]?/25' may have the day or the month first, and no date in the file tells",
        ),
        (['10/13/25', '13/10/25'], 'are in more than one order'),
        (['Wednesday'], "dates like 'Wednesday' are in no order that is known: say date = '%m/%d/%y' or the like"),
    ],
)
def test_dates_that_may_be_read_in_two_ways_are_refused_in_words(write: Write, dates: list[str], told: str) -> None:
    body = ''.join(f'{date},top,a,b,-,1,0,0,0%\n' for date in dates)
    with pytest.raises(LandingError, match=told):
        read(write(HEADER + body + f'Total,-,-,-,-,{len(dates)},0,0,0%\n', NAME))


def test_an_order_of_dates_that_is_said_needs_no_other_sign(write: Write) -> None:
    write(OWN + "[mapping.columns]\nserved_at = { from = 'Date', date = '%d/%m/%y' }\n", 'landing.toml')
    frame = read(write(HEADER + '1/10/25,top,a,b,-,10,0,$0.5,0%\nTotal,-,-,-,-,10,0,$0.5,0%\n', NAME))
    assert rows(frame)[0][0] == at(1)


@pytest.mark.parametrize(
    ('count', 'revenue', 'expected'),
    [
        ('"1,234"', '"$1,234.5"', (1234, '1234.5')),
        ('1.234', '"1.234,5 $"', (1234, '1234.5')),
        ('1.234', '"1,234"', (1234, '1.234')),
        ('1234', '"0,5"', (1234, '0.5')),
        ('1\N{NARROW NO-BREAK SPACE}234', '"1\N{NARROW NO-BREAK SPACE}234,5\N{NO-BREAK SPACE}US$"', (1234, '1234.5')),
        ("1'234", "1'234.5", (1234, '1234.5')),
        ('1\N{RIGHT SINGLE QUOTATION MARK}234', '0.5', (1234, '0.5')),
        ('7', '7', (7, '7')),
    ],
)
def test_signs_of_numbers_are_found_where_the_file_tells(
    write: Write, count: str, revenue: str, expected: tuple[int, str]
) -> None:
    frame = read(
        write(HEADER + f'2025-10-13,top,a,b,-,{count},0,{revenue},0%\nTotal,-,-,-,-,{count},0,{revenue},0%\n', NAME)
    )
    assert rows(frame)[0][5:8] == (expected[0], 0, Decimal(expected[1]))


@pytest.mark.parametrize(
    ('revenues', 'told'),
    [
        (['"1,234"'], "numbers like '1,234' may be thousands or fractions: say which by decimal and thousands"),
        (['1.234'], "numbers like '1.234' may be thousands or fractions"),
        (['"0,5"', '0.5'], 'its numbers have no common decimal sign'),
    ],
)
def test_numbers_that_may_be_read_in_two_ways_are_refused_in_words(write: Write, revenues: list[str], told: str) -> None:
    body = ''.join(f'2025-10-13,u{n},a,b,-,1,0,{revenue},0%\n' for n, revenue in enumerate(revenues))
    with pytest.raises(LandingError, match=told):
        read(write(HEADER + body + f'Total,-,-,-,-,{len(revenues)},0,{revenues[0]},0%\n', NAME))


def test_signs_of_numbers_that_are_said_need_no_other_proof(write: Write) -> None:
    write(OWN + "decimal = ','\nthousands = '.'\n", 'landing.toml')
    frame = read(write(HEADER + '2025-10-13,top,a,b,-,1,0,1.234,0%\nTotal,-,-,-,-,1,0,1.234,0%\n', NAME))
    assert rows(frame)[0][7] == Decimal(1234)


EUROS = REPORT.replace('($)', '(€)').replace('$', '€')


def test_a_report_in_another_currency_needs_rates_and_its_total_is_checked_before_they_change_it(write: Write) -> None:
    with pytest.raises(
        LandingError,
        match=rf'^{NAME}: its amounts are to be changed into dollars \(EUR\), by rates in a file beside .*: fx_rates.csv',
    ):
        read(write(EUROS, NAME))
    write('date,currency,usd\n2025-10-13,EUR,1.5\n2025-10-14,EUR,2\n', 'fx_rates.csv')
    assert [row[7] for row in rows(read(write(EUROS, NAME)))] == [Decimal('1851.84'), Decimal('0.0000015'), Decimal(-1)]


def test_a_currency_that_several_have_is_refused_until_somebody_says_which_it_is(write: Write) -> None:
    yen = REPORT.replace('($)', '(¥)').replace('$', '')
    with pytest.raises(LandingError, match=r"'Total CPM and CPC revenue \(¥\)' is not in US dollars: say its currency"):
        read(write(yen, NAME))
    told = "{ from = 'Total CPM and CPC revenue (¥)', currency = 'JPY' }"
    write(OWN + f'[mapping.columns]\nrevenue_usd = {told}\n', 'landing.toml')
    write('date,currency,usd\n2025-10-13,JPY,0.5\n2025-10-14,JPY,0.5\n', 'fx_rates.csv')
    assert rows(read(write(yen, NAME)))[0][7] == Decimal('617.28')


def test_a_publishers_own_column_that_names_another_currency_is_refused_without_one_said(write: Write) -> None:
    columns = ''.join(f"{name} = '{name}'\n" for name in ('served_at', 'ad_unit', 'impressions', 'clicks'))
    own = OWN + '[mapping.columns]\n' + columns
    write(own + "revenue_usd = 'Umsatz (€)'\n", 'landing.toml')
    landing = write('served_at,ad_unit,impressions,clicks,Umsatz (€)\n2025-10-13,top,1,0,1\n', NAME)
    with pytest.raises(LandingError, match=r"'Umsatz \(€\)' is not in US dollars: say its currency = 'EUR' in landing.toml"):
        read(landing)
    write(own + "revenue_usd = { from = 'Umsatz (€)', currency = 'GBP' }\n", 'landing.toml')
    with pytest.raises(LandingError, match=r"'Umsatz \(€\)' is in EUR, and the mapping says GBP"):
        read(landing)


def test_micros_in_such_a_report_are_refused(write: Write) -> None:
    micros = REPORT.replace('"$1,234.56"', '1234560000').replace('"$1,234.060001"', '1234559999.500001')
    with pytest.raises(LandingError, match=r'revenue_usd is 819,216,987\.72 for 1,000 impressions'):
        read(write(micros, NAME))


@pytest.mark.parametrize('values', [('content_id=12', 'section=sport'), ('section=sport', 'author=x')])
def test_a_report_by_other_keys_repeats_impressions_and_is_refused(write: Write, values: tuple[str, str]) -> None:
    other = REPORT.replace('content_id=12', values[0]).replace('content_id=13', values[1])
    with pytest.raises(LandingError, match=r'every impression stands there once per key, so sums would be too high'):
        read(write(other, NAME))


def test_another_language_is_a_mapping_with_the_word_of_its_total(write: Write) -> None:
    names = {
        'served_at': 'Datum',
        'ad_unit': 'Anzeigenblock',
        'line_item': 'Werbebuchung',
        'creative': 'Creative',
        'content_id': "{ from = 'Schlüsselwerte', key = 'content_id' }",
        'impressions': 'Impressionen insgesamt',
        'clicks': 'Klicks insgesamt',
        'revenue_usd': 'Umsatz ($)',
    }
    lines = [f'{ours} = {name if name[0] == "{" else repr(name)}' for ours, name in names.items()]
    write(OWN + "total = 'Gesamt'\n[mapping.columns]\n" + '\n'.join(lines), 'landing.toml')
    header = ';'.join(name.split("'")[1] if name[0] == '{' else name for name in names.values())
    content = (
        f'Berichtsname;Umsatz\n\n{header}\n13.10.25;top;Sponsor;c1;content_id=12;1.000;3;1.234,56 $\n'
        '13.10.25;top;Sponsor;c1;content_id=13;500;0;0,000001 $\n14.10.25;top;-;c2;-;7;-;-0,50 $\n'
        'Gesamt;;;;;1.507;3;1.234,060001 $\n'
    )
    assert [row[:-1] for row in rows(read(write(content, NAME)))] == [row[:-1] for row in EXPECTED]


def test_a_long_title_is_read_to_its_header(write: Write) -> None:
    title = TITLE.replace('\n\n', '\n' + 'Filters,"' + 'ad unit x; ' * 3_000 + '"\n\n')
    assert rows(read(write(title + HEADER + ROWS + TOTAL, NAME)))[0][:-1] == EXPECTED[0][:-1]
