"""The walk goes on in a browser: the editor's blocks in order, a backfill on its page, the dashboard, the page for finance.

One editor for all of it, on a database of its own; each test goes on where the one before it ended.
"""

import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from functools import cache

import pytest
from playwright.sync_api import Page

from kly_mage.mage.client import EMAIL, MageClient
from tests.mage.browser import EditorPage, browser_page, create_backfill, sign_in
from tests.mage.server import LANDING, wait_for
from tests.mage.test_pages import BLOCKS
from tests.oracle import Expected, expected
from tests.ports import free_port
from tests.walk.clone import Clone

pytestmark = [pytest.mark.walk, pytest.mark.one_version]  # not `browser`: `make test-more` would run it

WAREHOUSE = {'POSTGRES_DBNAME': 'walk', 'KLY_SETTLE_SECONDS': '0'}
DAYS = '2025-10-01', '2025-10-03'


@cache
def truth() -> Expected:
    """Gold of the sample, worked out from its files."""
    return expected(LANDING, 'Asia/Jakarta', 3)


def revenue(first: str, last: str) -> Decimal:
    """What the ads of these days earned."""
    return sum(
        (row['revenue_usd'] for row in truth().gam_daily_summary if first <= str(row['served_date']) <= last), Decimal(0)
    )


def pageviews(first: str, last: str) -> int:
    """How often articles were read on these days."""
    return sum(row['pageviews'] for row in truth().ga4_daily_summary if first <= str(row['event_date']) <= last)


def in_gold(clone: Clone) -> tuple[int, Decimal]:
    """Pageviews and dollars, as ``psql`` says."""
    said = clone.asks("psql -c 'select sum(pageviews) as n, sum(revenue_usd) as usd from gold.daily_summary'", **WAREHOUSE)
    reads, dollars = said.splitlines()[2].split('|')
    return int(reads), Decimal(dollars.strip())


@pytest.fixture(scope='module')
def editor(clone: Clone) -> Iterator[str]:
    """``make editor``; gives its address, and fails if Ctrl-C does not stop all of it."""
    port = str(free_port())
    with clone.starts('make editor', 'Mage and PostgreSQL are stopped', KLY_EDITOR_PORT=port, **WAREHOUSE) as running:
        assert f'Mage is on http://127.0.0.1:{port}' in running.until('Ctrl-C')
        assert 'sign in as admin@admin.com' in running.said
        yield f'http://127.0.0.1:{port}'


@pytest.fixture(scope='module')
def password(clone: Clone, editor: str) -> str:
    """The editor's first start has left it where it says."""
    assert editor
    (found,) = re.findall(r'^MAGE_OWNER_PASSWORD=(.*)$', (clone.folder / '.env').read_text('utf-8'), re.MULTILINE)
    return str(found)


@pytest.fixture(scope='module')
def page(editor: str, password: str) -> Iterator[Page]:
    """A browser that has signed in to the editor."""
    with browser_page() as opened:
        sign_in(opened, editor, EMAIL, password)
        yield opened


@pytest.fixture
def other(page: Page) -> Iterator[Page]:
    """A further page of the same browser, on which nobody listens to Mage's kernel."""
    opened = page.context.browser.new_page()  # type: ignore[union-attr]
    opened.set_default_timeout(30_000)
    yield opened
    opened.close()


def test_the_blocks_run_in_order_and_gold_has_their_day(clone: Clone, editor: str, page: Page) -> None:
    for pipeline, blocks in BLOCKS.items():
        opened = EditorPage(page, editor, pipeline)
        for block in blocks:
            said = opened.run(block)
            assert 'Traceback' not in said, said
            if block.startswith('export_'):
                assert f'{block.removeprefix("export_")} {DAYS[0]}: ' in said
    assert in_gold(clone) == (pageviews(DAYS[0], DAYS[0]), revenue(DAYS[0], DAYS[0]))


def test_a_backfill_on_its_page_brings_the_days_after(clone: Clone, editor: str, page: Page, password: str) -> None:
    client = MageClient(editor, EMAIL, password)
    for pipeline in BLOCKS:
        number = create_backfill(page, editor, pipeline, *map(date.fromisoformat, ('2025-10-02', DAYS[1])))
        wait_for(lambda at=number: client.backfill(at)['status'] == 'completed', 240, f'backfill of {pipeline}')
        page.goto(f'{editor}/pipelines/{pipeline}/backfills/{number}')
        page.get_by_text('completed', exact=False).first.wait_for()
    assert in_gold(clone) == (pageviews(*DAYS), revenue(*DAYS))


@pytest.mark.usefixtures('editor')
def test_the_dashboard_opens_by_the_address_it_prints_and_shows_these_days(clone: Clone, other: Page) -> None:
    port = {'KLY_DASHBOARD_PORT': str(free_port())}
    with clone.starts('make dashboard', 'the dashboard is stopped', **port, **WAREHOUSE) as running:
        (address,) = re.findall(r'http://\S+token=\S+', running.until('Ctrl-C'))
        other.goto(address)
        other.locator('.kly-large').nth(3).wait_for()
        assert 'token' not in other.url
        shown = [text.strip() for text in other.locator('.kly-large').all_inner_texts()]
        assert shown[0] == f'{pageviews(*DAYS):,}'
        assert shown[2] == f'{revenue(*DAYS):,.2f}'
        assert other.locator('[data-testid="stException"], .kly-bad').count() == 0


@pytest.mark.usefixtures('editor')
def test_the_page_for_finance_says_that_every_cent_is_there(clone: Clone, other: Page) -> None:
    said = clone.asks(f'reconcile --start {DAYS[0]} --end {DAYS[1]} --html finance.html', 3, **WAREHOUSE)  # rejects
    assert 'every cent accounted for' in said
    other.goto(f'file://{clone.folder}/finance.html')
    other.get_by_text('every cent accounted for', exact=False).first.wait_for()
    exact = f'{revenue(*DAYS).normalize():f}'
    assert other.locator(f'[title="{exact}"]').count(), exact
