"""The oracle against cases small enough to work out by hand; each is named after what it shows."""

import os
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from tests.oracle import NOT_SET, Expected, expected, ratio

CMS = 'content_id,site,title,author,section,publish_timestamp'
GA4 = (
    'event_timestamp,event_name,user_pseudo_id,session_id,content_id,site,'
    'page_location,device_category,country,traffic_source'
)
GAM = 'served_at,site,ad_unit,line_item,creative,content_id,impressions,clicks,revenue_usd'
TAIL = 's,/p,mobile,Indonesia,google'

DAY = date(2025, 10, 5)


def write(landing: Path, name: str, *lines: str) -> Path:
    """A landing file; its folder is the source's name."""
    source = next(source for source in ('cms_articles', 'ga4_events', 'gam_delivery') if name.startswith(source))
    header = {'cms_articles': CMS, 'ga4_events': GA4, 'gam_delivery': GAM}[source]
    path = landing / source / name
    path.parent.mkdir(exist_ok=True)
    path.write_text('\n'.join([header, *lines]) + '\n', newline='')
    return path


def ga4_metrics(result: Expected) -> dict[tuple[date, str], tuple[int, int, int]]:
    """(day, content) -> (pageviews, sessions, user_engagements)."""
    return {
        (row['event_date'], row['content_id']): (row['pageviews'], row['sessions'], row['user_engagements'])
        for row in result.ga4_daily_summary
    }


def gam_metrics(result: Expected) -> dict[tuple[date, str], tuple[int, int, Decimal]]:
    """(day, content) -> (impressions, clicks, revenue)."""
    return {
        (row['served_date'], row['content_id']): (row['impressions'], row['clicks'], row['revenue_usd'])
        for row in result.gam_daily_summary
    }


def test_equal_event_in_the_same_and_in_a_later_file_counts_once(tmp_path: Path) -> None:
    event = f'2025-10-05T01:00:00Z,page_view,u1,1,a1,{TAIL}'
    write(tmp_path, 'ga4_events_20251005.csv', event, event)
    write(tmp_path, 'ga4_events_20251006.csv', event)
    result = expected(tmp_path)
    assert ga4_metrics(result) == {(DAY, 'a1'): (1, 1, 0)}
    counts = result.rows['ga4_events']
    assert (counts.read, counts.distinct, counts.equal) == (3, 1, 2)


def test_one_instant_in_every_spelling_is_one_event(tmp_path: Path) -> None:
    # All are 01:00 UTC, 08:00 in Jakarta.
    spellings = [
        '2025-10-05T01:00:00Z',
        '2025-10-05 01:00Z',
        '2025-10-05T08:00:00.000000+07:00',
        '2025-10-05T08:00:00.0+0700',
        '2025-10-05 08:00:00+07',
        '2025-10-05T08:00',
        '2025-10-04T20:00:00-05:00',
    ]
    write(tmp_path, 'ga4_events_20251005.csv', *(f'{text},page_view,u1,1,a1,{TAIL}' for text in spellings))
    assert ga4_metrics(expected(tmp_path)) == {(DAY, 'a1'): (1, 1, 0)}


def test_date_alone_is_local_midnight(tmp_path: Path) -> None:
    write(tmp_path, 'cms_articles_20251005.csv', 'a1,s,t,,x,2025-10-05')
    # Midnight in Jakarta is 17:00 UTC of the day before.
    assert expected(tmp_path).articles[0]['publish_timestamp'] == datetime(2025, 10, 4, 17, tzinfo=UTC)


def test_no_value_and_empty_string_are_two_rows_of_one_content(tmp_path: Path) -> None:
    write(
        tmp_path,
        'ga4_events_20251005.csv',
        f'2025-10-05T01:00:00Z,page_view,u1,1,,{TAIL}',
        f'2025-10-05T01:00:00Z,page_view,u1,1,"",{TAIL}',
    )
    # Two page views; both without content; one session (u1, 1).
    assert ga4_metrics(expected(tmp_path)) == {(DAY, NOT_SET): (2, 1, 0)}


def test_same_session_number_of_two_users_is_two_sessions(tmp_path: Path) -> None:
    write(
        tmp_path,
        'ga4_events_20251005.csv',
        f'2025-10-05T01:00:00Z,page_view,u1,1,a1,{TAIL}',
        f'2025-10-05T01:00:01Z,page_view,u2,1,a1,{TAIL}',
        f'2025-10-05T01:00:02Z,user_engagement,u2,1,a1,{TAIL}',
    )
    assert ga4_metrics(expected(tmp_path)) == {(DAY, 'a1'): (2, 2, 1)}


def test_event_without_user_or_session_counts_no_session(tmp_path: Path) -> None:
    write(
        tmp_path,
        'ga4_events_20251005.csv',
        f'2025-10-05T01:00:00Z,page_view,,1,a1,{TAIL}',
        f'2025-10-05T01:00:01Z,page_view,u1,,a1,{TAIL}',
        f'2025-10-05T01:00:02Z,page_view,u1,"",a1,{TAIL}',
    )
    assert ga4_metrics(expected(tmp_path)) == {(DAY, 'a1'): (3, 0, 0)}


def test_session_over_local_midnight_counts_on_both_days(tmp_path: Path) -> None:
    # 16:59 UTC is 23:59 of the 5th in Jakarta, 17:01 UTC is 00:01 of the 6th.
    write(tmp_path, 'ga4_events_20251005.csv', f'2025-10-05T16:59:00Z,page_view,u1,1,a1,{TAIL}')
    write(tmp_path, 'ga4_events_20251006.csv', f'2025-10-05T17:01:00Z,user_engagement,u1,1,a1,{TAIL}')
    result = expected(tmp_path)
    assert ga4_metrics(result) == {(DAY, 'a1'): (1, 1, 0), (date(2025, 10, 6), 'a1'): (0, 1, 1)}
    # In UTC both are of the 5th: one day, one session. The file of the 6th then is a day late.
    in_utc = expected(tmp_path, timezone='UTC')
    assert ga4_metrics(in_utc) == {(DAY, 'a1'): (1, 1, 1)}
    assert in_utc.lateness['ga4_events'] == {0: 1, 1: 1}


def test_row_outside_the_window_of_its_file_does_not_count(tmp_path: Path) -> None:
    def event(day: int) -> str:
        return f'2025-10-{day:02}T01:00:00Z,page_view,u1,1,a1,{TAIL}'

    # Of the file of the 9th: the 6th is 3 days late, the 5th 4 days, the 10th is still to come.
    write(tmp_path, 'ga4_events_20251009.csv', event(6), event(5), event(10))
    result = expected(tmp_path)
    assert ga4_metrics(result) == {(date(2025, 10, 6), 'a1'): (1, 1, 0)}
    assert result.rows['ga4_events'].outside == 2
    # A file without a date may hold any day.
    write(tmp_path, 'ga4_events.csv', event(5), event(10))
    assert len(expected(tmp_path).ga4_daily_summary) == 3


def test_revenue_restated_down(tmp_path: Path) -> None:
    write(tmp_path, 'gam_delivery_20251005.csv', '2025-10-05T08:00:00,s,u,l,c,a1,100,2,0.50')
    write(tmp_path, 'gam_delivery_20251006.csv', '2025-10-05T01:00:00Z,s,u,l,c,a1,90,2,0.4')
    # Once more, spelled otherwise: no further version.
    write(tmp_path, 'gam_delivery_20251007.csv', '2025-10-05T08:00:00+07:00,s,u,l,c,a1,90.0,2,0.400')
    result = expected(tmp_path)
    assert gam_metrics(result) == {(DAY, 'a1'): (100, 2, Decimal('0.5'))}
    assert result.money_in_conflicts == Decimal('0.4')
    (conflict,) = result.conflicts
    assert (conflict['first_impressions'], conflict['impressions']) == (100, 90)
    assert (conflict['file'], conflict['line']) == ('gam_delivery_20251006.csv', 2)
    counts = result.rows['gam_delivery']
    assert (counts.read, counts.distinct, counts.conflicting, counts.equal) == (3, 1, 1, 1)


def test_revenue_restated_and_taken_back(tmp_path: Path) -> None:
    first, other = '2025-10-05T08:00:00,s,u,l,c,a1,100,2,0.5', '2025-10-05T08:00:00,s,u,l,c,a1,100,2,0.7'
    write(tmp_path, 'gam_delivery_20251005.csv', first, other, first)
    result = expected(tmp_path)
    # The first line counts, the second is another version, the third equals the first.
    assert gam_metrics(result) == {(DAY, 'a1'): (100, 2, Decimal('0.5'))}
    assert (result.rows['gam_delivery'].conflicting, result.rows['gam_delivery'].equal) == (1, 1)


def test_ad_rows_that_differ_in_the_key_add_up(tmp_path: Path) -> None:
    write(
        tmp_path,
        'gam_delivery_20251005.csv',
        '2025-10-05T08:00:00,s,u,l,c,a1,100,2,0.5',
        '2025-10-05T08:00:00,s,u,l,,a1,100,2,0.5',
        '2025-10-05T08:00:00,s,u,l,"",a1,100,2,0.5',
        '2025-10-05T08:00:00,s,u,adjustment,,a1,0,0,-1.700001',
    )
    # 3 * 0.5 - 1.700001 = -0.200001
    assert gam_metrics(expected(tmp_path)) == {(DAY, 'a1'): (300, 6, Decimal('-0.200001'))}


@pytest.mark.parametrize(('modified', 'impressions'), [('2025-10-04', 7), ('2025-10-06', 100)])
def test_undated_file_comes_where_its_modification_time_puts_it(tmp_path: Path, modified: str, impressions: int) -> None:
    write(tmp_path, 'gam_delivery_20251005.csv', '2025-10-05T08:00:00,s,u,l,c,a1,100,2,0.5')
    undated = write(tmp_path, 'gam_delivery.csv', '2025-10-05T08:00:00,s,u,l,c,a1,7,2,0.5')
    moment = datetime.fromisoformat(f'{modified}T12:00:00+07:00').timestamp()
    os.utime(undated, (moment, moment))
    assert gam_metrics(expected(tmp_path))[DAY, 'a1'][0] == impressions


def test_article_edited_twice(tmp_path: Path) -> None:
    write(tmp_path, 'cms_articles_20251005.csv', 'a1,s,first,,x,2025-03-01T00:00:00Z')
    write(tmp_path, 'cms_articles_20251008.csv', 'a1,s,third,,x,2025-03-01T00:00:00Z')
    write(tmp_path, 'cms_articles_20251006.csv', 'a1,s,second,,x,2025-03-01T00:00:00Z')
    result = expected(tmp_path)
    assert [article['title'] for article in result.articles] == ['third']
    assert result.rows['cms_articles'].distinct == 3


def test_article_edited_and_taken_back(tmp_path: Path) -> None:
    first, second = 'a1,s,"first, and best",,x,', 'a1,s,"""second""",,x,'
    write(tmp_path, 'cms_articles_20251005.csv', first, second)
    assert expected(tmp_path).articles[0]['title'] == '"second"'
    write(tmp_path, 'cms_articles_20251006.csv', first)
    result = expected(tmp_path)
    assert result.articles[0]['title'] == 'first, and best'
    assert (result.rows['cms_articles'].distinct, result.rows['cms_articles'].equal) == (2, 1)


def test_revenue_without_pageviews_and_pageviews_without_revenue(tmp_path: Path) -> None:
    write(tmp_path, 'cms_articles_20251005.csv', 'a1,site,title,"",,2025-10-05T00:00:00Z')
    write(
        tmp_path,
        'ga4_events_20251005.csv',
        *(f'2025-10-05T01:00:0{n}Z,page_view,u1,1,a1,{TAIL}' for n in range(3)),
        f'2025-10-05T01:00:00Z,scroll,u1,1,a2,{TAIL}',
    )
    write(
        tmp_path,
        'gam_delivery_20251005.csv',
        '2025-10-05T08:00:00,s,u,l,c,a1,7,2,0.01',
        '2025-10-05T08:00:00,s,u,l,c,a3,0,0,0.02',
    )
    metrics = (
        'pageviews',
        'sessions',
        'user_engagements',
        'impressions',
        'clicks',
        'revenue_usd',
        'page_rpm_usd',
        'ecpm_usd',
        'ctr',
    )
    got = {row['content_id']: tuple(row[metric] for metric in metrics) for row in expected(tmp_path).daily_summary}
    assert got == {
        # RPM 0.01 * 1000 / 3 = 3.333333…; eCPM 0.01 * 1000 / 7 = 1.428571…; CTR 2 / 7 = 0.285714…
        'a1': (3, 1, 0, 7, 2, Decimal('0.01'), Decimal('3.333333'), Decimal('1.428571'), Decimal('0.285714')),
        'a2': (0, 1, 0, 0, 0, Decimal(0), None, None, None),
        'a3': (0, 0, 0, 0, 0, Decimal('0.02'), None, None, None),
    }


def test_what_the_cms_does_not_say_is_not_set(tmp_path: Path) -> None:
    write(tmp_path, 'cms_articles_20251005.csv', 'a1,site,title,"",,')
    write(
        tmp_path,
        'ga4_events_20251005.csv',
        *(f'2025-10-05T01:00:00Z,page_view,u1,1,{content},{TAIL}' for content in ('a1', 'a2', '')),
    )
    columns = ('site', 'title', 'author', 'section', 'publish_timestamp')
    got = {row['content_id']: tuple(row[column] for column in columns) for row in expected(tmp_path).daily_summary}
    assert got == {
        'a1': ('site', 'title', NOT_SET, NOT_SET, None),
        'a2': (NOT_SET, NOT_SET, NOT_SET, NOT_SET, None),
        NOT_SET: (NOT_SET, NOT_SET, NOT_SET, NOT_SET, None),
    }


@pytest.mark.parametrize(
    ('numerator', 'denominator', 'quotient'),
    [
        ('1', 3, '0.333333'),
        ('2', 3, '0.666667'),
        ('0.0000005', 1, '0.000001'),  # half: away from zero
        ('-0.0000005', 1, '-0.000001'),
        ('0.0000004', 1, '0'),
        ('5', 0, None),
    ],
)
def test_ratio_rounds_half_away_from_zero(numerator: str, denominator: int, quotient: str | None) -> None:
    assert ratio(Decimal(numerator), denominator) == (None if quotient is None else Decimal(quotient))


@pytest.mark.parametrize(
    ('row', 'reason'),
    [
        (',s,u,l,c,a1,1,1,1', 'missing_required'),
        ('2025-10-05,s,"",l,c,a1,1,1,1', 'missing_required'),
        ('2025-10-05,s,u,l,c,a1,"",1,1', 'missing_required'),
        ('2025-02-30,s,u,l,c,a1,1,1,1', 'bad_timestamp'),
        ('2025-10-05T24:00,s,u,l,c,a1,1,1,1', 'bad_timestamp'),
        ('2025-10-05T10:00:00.1234567Z,s,u,l,c,a1,1,1,1', 'bad_timestamp'),
        ('5/10/2025,s,u,l,c,a1,1,1,1', 'bad_timestamp'),
        ('2025-10-05,s,u,l,c,a1,-1,1,1', 'bad_count'),
        ('2025-10-05,s,u,l,c,a1,1.5,1,1', 'bad_count'),
        ('2025-10-05,s,u,l,c,a1,9223372036854775808,1,1', 'bad_count'),
        ('2025-10-05,s,u,l,c,a1,1,1_000,1', 'bad_count'),
        ('2025-10-05,s,u,l,c,a1,1,1,NaN', 'bad_money'),
        ('2025-10-05,s,u,l,c,a1,1,1,-Infinity', 'bad_money'),
        ('2025-10-05,s,u,l,c,a1,1,1,"1,5"', 'bad_money'),
        ('2025-10-05,s,u,l,c,a1,1,1,0.1234567890123', 'bad_money'),
        ('2025-10-05,s,u,l,c,a1,1,1,1e18', 'bad_money'),
        ('2025-10-05,s,u,l,c,a1,1,1', 'wrong_field_count'),
        ('2025-10-05,s,u,l,c,a1,1,1,1,', 'wrong_field_count'),
        ('2025-10-05,s,u,l\0,c,a1,1,1,1', 'nul_byte'),
        (f'2025-10-05,s,u,l,c,{"a" * 501},1,1,1', 'too_long'),
    ],
)
def test_broken_row_is_a_reject_and_the_others_count(tmp_path: Path, row: str, reason: str) -> None:
    write(tmp_path, 'gam_delivery_20251005.csv', row, '2025-10-05T08:00:00,s,u,l,c,a1,1,1,1')
    result = expected(tmp_path)
    assert result.rejects == {('gam_delivery', reason): 1}
    assert result.rejected_records == [('gam_delivery', 'gam_delivery_20251005.csv', 2, reason)]
    assert gam_metrics(result) == {(DAY, 'a1'): (1, 1, Decimal(1))}


@pytest.mark.parametrize(
    ('impressions', 'revenue', 'total'),
    [
        ('12.0', '1.50', (12, 1, Decimal('1.5'))),
        ('+12', '+1.5', (12, 1, Decimal('1.5'))),
        ('1e3', '15e-1', (1000, 1, Decimal('1.5'))),
        ('9223372036854775807', '-999999999999999999.999999999999', None),
    ],
)
def test_numbers_in_every_spelling(
    tmp_path: Path, impressions: str, revenue: str, total: tuple[int, int, Decimal] | None
) -> None:
    write(tmp_path, 'gam_delivery_20251005.csv', f'2025-10-05,s,u,l,c,a1,{impressions},1,{revenue}')
    widest = (9223372036854775807, 1, Decimal('-999999999999999999.999999999999'))
    assert gam_metrics(expected(tmp_path)) == {(DAY, 'a1'): total or widest}


def test_sum_of_large_money_is_exact(tmp_path: Path) -> None:
    write(
        tmp_path,
        'gam_delivery_20251005.csv',
        *(f'2025-10-05,s,u,l{n},c,a1,1,1,999999999999999999.999999999999' for n in range(2)),
    )
    # 2 * (10^18 - 10^-12) = 2 * 10^18 - 2 * 10^-12: 31 digits.
    assert gam_metrics(expected(tmp_path))[DAY, 'a1'][2] == Decimal('1999999999999999999.999999999998')


def test_column_order_and_an_undeclared_column_without_values_do_not_matter(tmp_path: Path) -> None:
    write(tmp_path, 'ga4_events_20251005.csv', f'2025-10-05T01:00:00Z,page_view,u1,1,a1,{TAIL}')
    again = tmp_path / 'ga4_events' / 'ga4_events_20251006.csv'
    again.write_text(
        'app,event_name,event_timestamp,user_pseudo_id,session_id,content_id,site,page_location,'
        f'device_category,country,traffic_source\n,page_view,2025-10-05T01:00:00Z,u1,1,a1,{TAIL}\n'
    )
    result = expected(tmp_path)
    assert (result.rows['ga4_events'].distinct, result.rows['ga4_events'].equal) == (1, 1)


def test_field_may_hold_line_feed_comma_and_quotes(tmp_path: Path) -> None:
    write(tmp_path, 'cms_articles_20251005.csv', 'a1,s,"one,\r\ntwo ""three""",,x,', '\r', 'a2,s,t,,x,\r')
    result = expected(tmp_path)
    assert [article['title'] for article in result.articles] == ['one,\r\ntwo "three"', 't']
    assert result.rows['cms_articles'].read == 2


def test_missing_required_column_names_file_and_column(tmp_path: Path) -> None:
    (tmp_path / 'cms_articles.csv').write_text('site,title\ns,t\n')
    with pytest.raises(ValueError, match=r'cms_articles\.csv: no column content_id'):
        expected(tmp_path)
