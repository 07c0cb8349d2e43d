"""The page of ``reconcile --html``, opened in Chromium: whole, drawn, readable on a phone, and silent."""

import base64
import csv
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kly_mage.__main__ import main
from kly_mage.checks.reconciliation.legend import MEANINGS
from kly_mage.checks.reconciliation.model import Causes, Finding, Line, Report
from kly_mage.checks.reconciliation.page import page
from kly_mage.checks.reconciliation.table import TITLES
from kly_mage.common.settings import Settings
from tests.scenes import deliver_october

CHROMIUM = Path('/usr/bin/chromium')


def report(days: int = 31) -> Report:
    """A report of some October days, made up."""
    found = Report(None, datetime(2025, 11, 1, tzinfo=UTC), sources=['ga4_events', 'gam_delivery'])
    for number in range(1, days + 1):
        day = date(2025, 10, number)
        events = Line(
            'ga4_events', day, {'read': 10, 'bronze': 9, 'duplicate': 1}, {'pageviews': {}, 'user_engagements': {}}
        )
        for place in ('read', 'bronze', 'gold'):
            events.add('pageviews', place, number * 100)
        events.late = {1: 2, 3: 1}
        ads = Line('gam_delivery', day, {'read': 5, 'bronze': 4, 'conflict': 1}, {'revenue_usd': {}})
        for place, amount in (('read', '3.5'), ('bronze', '3'), ('gold', '3'), ('conflict', '0.5')):
            ads.add('revenue_usd', place, Decimal(amount))
        found.lines += [events, ads]
        views, ad_numbers = (
            0 if number == 3 else number * 100,
            {'impressions': 10, 'clicks': 1, 'revenue_usd': 3 - number % 7},
        )
        for mart, numbers in (
            ('ga4_daily_summary', {'pageviews': views, 'sessions': number, 'user_engagements': 1}),
            ('gam_daily_summary', ad_numbers),
        ):
            found.days.setdefault(mart, {})[day] = {name: Decimal(amount) for name, amount in numbers.items()}
    found.lines.sort(key=lambda line: line.source)
    found.causes = {name: Causes(name) for name in found.sources}
    found.findings = [Finding('rejects', 'gam_delivery', '1 row <script>alert(1)</script> & more', 'python -m kly_mage x')]
    return found


def test_what_comes_from_files_is_text_and_never_markup() -> None:
    text = page(report())
    assert '<script' not in text
    assert '1 row &lt;script&gt;alert(1)&lt;/script&gt; &amp; more' in text


def test_what_turns_a_line_around_or_is_not_seen_is_spelled_out() -> None:
    found = report()
    found.findings = [Finding('rejects', 'gam_delivery', 'gam_\u202egpj\u200b\x1b]0;x\x07 & "more".csv', 'mv \u2066a b')]
    text = page(found)
    assert r'gam_\u202egpj\u200b\x1b]0;x\x07 &amp; &#34;more&#34;.csv' in text
    assert r'mv \u2066a b' in text
    assert not any(unicodedata.category(c) in ('Cc', 'Cf') for c in text.replace('\n', ''))


def test_nothing_is_fetched_from_anywhere() -> None:
    text = page(report())
    for sign in ('http:', 'https:', 'url(', '@import', 'src='):
        assert sign not in text, sign


@pytest.mark.parametrize('days', [0, 1, 2, 31])
def test_any_number_of_days_is_drawn(days: int) -> None:
    text = page(report(days))
    assert text.count('<figure>') == (6 if days else 1)
    assert 'NaN' not in text
    assert 'Infinity' not in text


def test_a_day_that_does_not_add_up_is_marked() -> None:
    found = report(2)
    found.lines[-1] = replace(found.lines[-1], rows={**found.lines[-1].rows, 'not_loaded': 1, 'read': 6})
    text = page(found)
    assert text.count('class="off"') == 1
    assert '1 not loaded' in text
    assert '1 day needs a look' in text


def test_a_day_without_its_file_stands_among_the_days_although_it_has_no_row() -> None:
    found = report(2)
    found.causes['gam_delivery'].without_file = [date(2025, 10, 7)]
    (line,) = re.findall(r'<tr role="row" class="off">.*?</tr>', page(found))
    assert '>2025-10-07<' in line
    assert '>no file<' in line


def test_money_is_to_the_cent_and_has_all_its_digits_behind_it_and_in_the_csv_file() -> None:
    found = report(1)
    for place in ('read', 'bronze', 'gold'):
        found.lines[-1].add('revenue_usd', place, Decimal('0.123456'))
    text = page(found)
    # 3 + 0.123456 count, in the table of numbers and in the day's line and total
    assert text.count('<span title="3.123456">3.12</span>') == 2 + 1 + 1
    (encoded,) = re.findall(r'href="data:text/csv;base64,([^"]*)"', text)
    rows = list(csv.DictReader(base64.b64decode(encoded).decode().splitlines()))
    assert [row['revenue_usd_gold'] for row in rows if row['source'] == 'gam_delivery'] == ['3.123456']


def test_money_in_a_sentence_is_to_the_cent_with_all_its_digits_behind_it_and_the_rest_stays_text() -> None:
    found = report(1)
    told = 'a <b> of 1,136.122621 USD, -0.893317 USD, 5.10 USD and 0.123456 of nothing'
    found.findings = [Finding('late', 'gam_delivery', told)]
    shown = (
        'a &lt;b&gt; of <span title="1136.122621">1,136.12</span> USD, <span title="-0.893317">-0.89</span> USD, 5.10 USD'
    )
    assert f'<li>{shown} and 0.123456 of nothing</li>' in page(found)


def test_a_table_ends_with_what_it_amounts_to() -> None:
    text = page(report(3))
    foot = re.findall(r'<tfoot role="rowgroup">(.*?)</tfoot>', text, re.DOTALL)
    cells = [re.findall(r'<td[^>]*>(?:<span[^>]*>)?([^<]*)', each) for each in foot]
    # 3 days of 10 and of 5 rows; 100 + 200 + 300 pageviews; 3 times 3 of 3.50 dollars
    assert cells[0][:4] == ['in all', '45', '3', '39']
    assert cells[1] == ['in all', '30', '3', '27', '0', '0', '600', '600', '0', '']
    assert cells[2] == ['in all', '15', '0', '12', '3', '0', '10.50', '9.00', '0.00', '']


def test_days_adds_every_number_of_a_day() -> None:
    assert 'User engagements in the files' not in page(report())
    assert 'User engagements in the files' in page(report(), every_day=True)


def test_every_place_of_a_row_is_explained() -> None:
    assert set(MEANINGS) == set(TITLES)


# --- in Chromium ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def browser() -> Iterator[Any]:
    """Debian's Chromium."""
    if not CHROMIUM.exists():
        pytest.skip('Chromium is not installed')
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=['--no-sandbox'])
        yield chromium
        chromium.close()


@pytest.mark.browser
@pytest.mark.parametrize('width', [1400, 390], ids=['desk', 'phone'])
def test_the_page_opens_without_an_error_a_request_or_a_sideways_scroll(
    browser: Any, settings: Settings, tmp_path: Path, width: int
) -> None:
    deliver_october(settings.data_dir)
    main(['backfill', '--start', '2025-10-01', '--end', '2025-10-04', '--quiet'])
    path = tmp_path / 'page.html'
    assert main(['reconcile', '--html', str(path), '--quiet']) == 3  # the restated rows wait for a decision
    context = browser.new_context(viewport={'width': width, 'height': 800}, offline=True)
    tab, requests, said = context.new_page(), [], []
    tab.on('request', lambda request: requests.append(request.url))
    tab.on('console', lambda message: said.append(message.text))
    tab.on('pageerror', lambda error: said.append(str(error)))
    tab.goto(path.as_uri())
    assert requests == [path.as_uri()]
    assert said == []
    assert tab.locator('.verdict').inner_text().startswith('every cent accounted for; 0.31 USD count, 1.50 USD')
    assert tab.locator('.verdict span').get_attribute('title').startswith('every cent accounted for; 0.312 USD count')
    assert tab.locator('figcaption').count() == 6
    # Each chart shows something of the size it should have, inside its frame.
    for figure in tab.locator('figure').all():
        box = figure.bounding_box()
        assert 300 <= box['width'] <= width
        marks = figure.locator('svg rect.bar, svg circle.dot').all()
        assert any(mark.bounding_box()['height'] > 2 for mark in marks), figure.inner_text()
        for mark in marks:
            inside = mark.bounding_box()
            assert box['x'] - 1 <= inside['x']
            assert inside['x'] + inside['width'] <= box['x'] + box['width'] + 1
    assert tab.evaluate('document.documentElement.scrollWidth') <= width
    for table in tab.locator('.wide').all():  # nothing is to be pulled sideways to be read
        assert table.evaluate('each => each.scrollWidth - each.clientWidth') <= 0
    assert tab.get_by_role('heading', name='Articles that earn most').is_visible()
    assert tab.get_by_role('row', name='site').first.is_visible()
    context.close()


@pytest.mark.browser
def test_the_bars_are_as_high_as_their_numbers(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / 'page.html'
    path.write_text(page(report(4)), 'utf-8')
    tab = browser.new_page()
    tab.goto(path.as_uri())
    bars = tab.locator('figure').first.locator('rect.bar').all()
    heights = [bar.bounding_box()['height'] for bar in bars]
    # 100, 200, 0 and 400 pageviews
    assert heights[1] / heights[0] == pytest.approx(2, rel=0.02)
    assert heights[3] / heights[0] == pytest.approx(4, rel=0.02)
    assert heights[2] < 1
    # Without pageviews there is no page RPM: one point less.
    assert tab.locator('figure').nth(3).locator('circle').count() == 3
    tab.close()


@pytest.mark.browser
def test_the_page_prints_with_all_its_tables(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / 'page.html'
    path.write_text(page(report()), 'utf-8')
    tab = browser.new_page()
    tab.goto(path.as_uri())
    tab.emulate_media(media='print', color_scheme='dark')
    background = tab.evaluate('getComputedStyle(document.body).backgroundColor')
    assert background == 'rgb(255, 255, 255)'
    assert len(tab.pdf(format='A4')) > 20_000
    tab.close()
