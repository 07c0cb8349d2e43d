"""Data Transfer files: events become sums that are exact, whatever their order, their files, and how often they come."""

import json
import logging
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from kly_mage.common.errors import LandingError
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.landing.files import day_in_name
from tests.landing.zone import Write, read

FOLDER = 'gam_delivery'
NETWORK = f'{FOLDER}/NetworkImpressions_45577845_20251001_12'
BACKFILL = f'{FOLDER}/NetworkBackfillImpressions_45577845_20251001_12'
CLICKS = f'{FOLDER}/NetworkClicks_45577845_20251001_12'
NOON = 1_759_294_800_000_000  # microseconds: 2025-10-01 05:00 in UTC, 12:00 in Jakarta
QUARTER = 900_000_000
FIELDS = (
    'Time',
    'TimeUsec2',
    'AdUnitId',
    'LineItemId',
    'CreativeId',
    'CustomTargeting',
    'RefererURL',
    'ImpressionId',
    'KeyPart',
)
MONEY = (*FIELDS, 'EstimatedBackfillRevenue')
OF_CLICKS = (*FIELDS, 'EventTimeUsec2', 'EventKeyPart')


def event(number: int, at: int = 0, unit: str = '11', article: str = '7', line_item: str = '21', *more: str) -> str:
    """An event, ``at`` microseconds after noon, of an impression with that number."""
    targeting = f'pos=top;content_id={article};section=news' if article else 'pos=top'
    page = f'https://x.com/read/{article}'
    return ','.join(
        ['2025-10-01-12:00:00', str(NOON + at), unit, line_item, '31', targeting, page, f'imp{number}', f'k{number}', *more]
    )


def paid(number: int, revenue: str, at: int = 0) -> str:
    return event(number, at, '11', '7', '22', revenue)


def click(number: int, at: int, key: str) -> str:
    return event(number, 0, '11', '7', '21', str(NOON + at), key)


def text(fields: tuple[str, ...], *events: str) -> str:
    return '\n'.join([','.join(fields), *events, ''])


def sums(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    assert frame['_reject'].null_count() == frame.height, frame['_reject'].to_list()
    at = (pl.col('served_at').dt.epoch('us') - NOON).alias('at')
    names = ('ad_unit', 'line_item', 'content_id', 'impressions', 'clicks', 'revenue_usd')
    return sorted(frame.select(at, *names).rows(), key=str)


def test_events_are_added_up_by_their_key_and_quarter_of_an_hour(write: Write) -> None:
    events = [
        event(1, 5),
        event(2, 9),
        event(3, 7, unit='12'),
        event(4, 8, article='8'),
        event(5, QUARTER),
        event(6, QUARTER - 1),
        event(7, 6, article=''),
    ]
    assert sums(read(write(text(FIELDS, *events), NETWORK))) == [
        (5, '11', '21', '7', 3, 0, Decimal(0)),  # events 1, 2 and 6
        (6, '11', '21', None, 1, 0, Decimal(0)),
        (7, '12', '21', '7', 1, 0, Decimal(0)),
        (8, '11', '21', '8', 1, 0, Decimal(0)),
        (QUARTER, '11', '21', '7', 1, 0, Decimal(0)),
    ]


def test_revenue_of_backfill_is_in_units_and_added_up_exactly(write: Write) -> None:
    events = [paid(1, '0.1', 1), paid(2, '0.2', 2), paid(3, '0.00140351999645645', 3), paid(4, '', 4), paid(5, '0', 5)]
    # 0.1 + 0.2 + 0.001403519996 (half to even to 12 digits: 0.001403519996|45645)
    assert sums(read(write(text(MONEY, *events), BACKFILL))) == [(1, '11', '22', '7', 5, 0, Decimal('0.301403519996'))]


def test_clicks_count_where_they_happen_and_several_of_one_impression_are_several(write: Write) -> None:
    events = [click(1, 100, 'a'), click(1, 200, 'a'), click(1, 200, 'b'), click(1, 200, 'b')]
    assert sums(read(write(text(OF_CLICKS, *events), CLICKS))) == [(100, '11', '21', '7', 0, 3, Decimal(0))]


def test_an_event_that_stands_there_twice_counts_once_however_far_apart_and_is_told(
    write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    events = [event(n, n) for n in range(1, 120_001)]
    with caplog.at_level(logging.WARNING, 'kly_mage'):
        frame = read(write(text(FIELDS, *events, events[0], events[60_000]), NETWORK))
    assert sums(frame) == [(1, '11', '21', '7', 120_000, 0, Decimal(0))]
    assert f'{NETWORK}: 2 events are there twice and count once' in caplog.text


def test_the_same_events_in_another_order_are_the_same_rows(write: Write) -> None:
    events = [event(n, n * 7 % 101, article=str(n % 3)) for n in range(100)]
    first = sums(read(write(text(FIELDS, *events), NETWORK)))
    assert sums(read(write(text(FIELDS, *reversed(events)), NETWORK))) == first


def test_what_the_ad_server_did_not_fill_is_no_impression(write: Write) -> None:
    events = [event(1, 1), event(2, 2, line_item='0'), event(3, 3, line_item='')]
    assert sums(read(write(text(FIELDS, *events), NETWORK))) == [
        (1, '11', '21', '7', 1, 0, Decimal(0)),
        (2, '11', None, '7', 0, 0, Decimal(0)),
    ]
    backfill = [','.join(e.split(',')) + ',0.5' for e in events]
    assert [row[4] for row in sums(read(write(text(MONEY, *backfill), BACKFILL)))][-1] == 2


def test_the_article_is_where_landing_toml_says_and_its_currency_counts(write: Write) -> None:
    write(
        "[[mapping]]\nsource = 'gam_delivery'\n[mapping.columns]\n"
        "content_id = { from = 'RefererURL', match = '/read/([0-9]+)' }\n"
        "revenue_usd = { from = 'EstimatedBackfillRevenue', currency = 'EUR' }\n",
        'landing.toml',
    )
    landing = write(text(MONEY, paid(1, '0.5').replace('content_id=7', 'content_id=9')), BACKFILL)
    with pytest.raises(
        LandingError, match=r'its amounts are to be changed into dollars \(EUR\), by rates in a file beside .*: fx_rates.csv'
    ):
        read(landing)
    write('date,currency,usd\n2025-10-01,EUR,1.5\n', 'fx_rates.csv')
    assert sums(read(landing)) == [(0, '11', '22', '7', 1, 0, Decimal('0.75'))]


def test_micros_are_refused(write: Write) -> None:
    with pytest.raises(LandingError, match=r'revenue_usd is 1,500,000\.00 for 1,000 impressions'):
        read(write(text(MONEY, *(paid(n, '1500') for n in range(1000))), BACKFILL))


@pytest.mark.parametrize(
    ('changed', 'column'),
    [
        ((str(NOON + 1), 'noon'), 'TimeUsec2'),
        ((str(NOON + 1), '-5'), 'TimeUsec2'),
        ((',11,', ',,'), 'AdUnitId'),
        (('imp1', ''), 'ImpressionId'),
        ((',0.1', ',much'), 'EstimatedBackfillRevenue'),
    ],
)
def test_an_event_that_cannot_be_used_is_one_reject_with_its_line(
    write: Write, changed: tuple[str, str], column: str
) -> None:
    frame = read(write(text(MONEY, paid(2, '0.2', 2), paid(1, '0.1', 1).replace(*changed)), BACKFILL))
    assert frame.filter(pl.col('_reject').is_null())['impressions'].to_list() == [1]
    bad = frame.filter(pl.col('_reject').is_not_null())
    assert [(line, json.loads(told)['column']) for line, told in bad.select('_line', '_reject').rows()] == [(3, column)]


def test_a_line_of_too_few_fields_or_without_its_end_is_a_reject(write: Write) -> None:
    frame = read(write(text(FIELDS, event(1), 'x,y', event(2)).rstrip('\n'), NETWORK))
    told = {line: json.loads(reject)['reason'] for line, reject in frame.select('_line', '_reject').rows() if reject}
    assert told == {
        3: '2 fields, the header has 9',
        4: 'in the last line of its file, which has no end: it may be cut; deliver the file again',
    }
    assert frame.filter(pl.col('_reject').is_null())['impressions'].to_list() == [1]


@pytest.mark.parametrize(
    ('name', 'content', 'told'),
    [
        (
            'NetworkRequests_5_20251001_12',
            text(FIELDS, event(1)),
            'NetworkImpressions, NetworkBackfillImpressions, NetworkClicks',
        ),
        ('events.csv', text(FIELDS, event(1)), 'keep the name of Google'),
        ('NetworkBackfillImpressions_5_20251001_12', text(FIELDS, event(1)), 'lacks the field EstimatedBackfillRevenue'),
        ('NetworkClicks_5_20251001_12.csv', text(FIELDS, event(1)), 'lacks the field EventTimeUsec2'),
    ],
)
def test_files_whose_events_cannot_be_counted_are_refused_in_words(write: Write, name: str, content: str, told: str) -> None:
    with pytest.raises(LandingError, match=f'{name}: .*{told}'):
        read(write(content, f'{FOLDER}/{name}'))


def test_more_events_than_can_be_told_apart_are_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('kly_mage.landing.gam_transfer.MOST_EVENTS', 10)
    with pytest.raises(LandingError, match='holds more than 10 events: deliver it in parts, or by the hour'):
        read(write(text(FIELDS, *(event(n) for n in range(11))), NETWORK))


@pytest.mark.parametrize(
    ('name', 'day'),
    [
        ('NetworkImpressions_45577845_20251001_08', '2025-10-01'),
        ('NetworkBackfillClicks_20251002_20251001_08.csv.gz', '2025-10-01'),
        ('NetworkImpressions_20251001_08', 'None'),
        ('NetworkRequests_5_20251001_08', 'None'),
        ('gam_delivery_20251001.csv', '2025-10-01'),
    ],
)
def test_the_day_of_such_a_file_stands_behind_the_number_of_its_network(name: str, day: str) -> None:
    assert str(day_in_name(GAM_DELIVERY, name)) == day
