"""The pages in a real browser: what they show, how they look to a checker, and whether a keyboard is enough."""

import csv
import io
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.dashboard.conftest import Dashboard
from tests.mage.browser import browser_page

pytestmark = [pytest.mark.browser, pytest.mark.one_version]

ARTICLE = '5479186'
PAGES = [
    '',
    'articles',
    f'articles?article={ARTICLE}',
    'sites',
    'sections',
    'authors',
    'ads',
    'health',
    'proof?day=2025-10-02',
    'proof?load=1',
    'proof',
]
# Streamlit is still at work while this is in the page.
BUSY = '[data-testid="stStatusWidget"], [data-stale="true"], [data-testid="stSkeleton"]'


@pytest.fixture(scope='module')
def browser() -> Iterator[Browser]:
    with browser_page() as page:
        yield page.context.browser  # type: ignore[misc]


class Visit:
    """A browser that has signed in, and what its console said."""

    def __init__(self, browser: Browser, dashboard: Dashboard, width: int = 1400, scheme: str = 'light') -> None:
        self.url, self.heard = dashboard.url, list[str]()
        self.context = browser.new_context(viewport={'width': width, 'height': 900}, color_scheme=scheme)  # type: ignore[arg-type]
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.page.on('console', lambda message: self._hear(message.type, message.text))
        self.page.on('pageerror', lambda error: self._hear('error', str(error)))
        self.page.on('request', lambda request: self._ask(request.url))
        self.page.goto(f'{self.url}/proof?token={dashboard.token}')
        self.page.locator('h1').wait_for()
        assert 'token' not in self.page.url

    def _hear(self, kind: str, text: str) -> None:
        if kind == 'error':
            self.heard.append(text)

    def _ask(self, url: str) -> None:
        if not url.startswith((self.url, 'data:', 'blob:')):
            self.heard.append(f'asked for {url}')

    def open(self, place: str) -> Page:
        """Go to a page and wait until it is complete."""
        self.page.goto(f'{self.url}/{place}')
        self.wait()
        return self.page

    def wait(self) -> None:
        """Until the page is complete."""
        self.page.locator('h1').first.wait_for()
        self.page.wait_for_function(f"!document.querySelector('{BUSY}')")

    def rows(self, region: str) -> list[list[str]]:
        """The cells of a table, by its name."""
        table = self.page.get_by_role('region', name=region).first
        table.wait_for()
        found: list[list[str]] = table.evaluate(
            "t => [...t.querySelectorAll('tbody tr')].map(r => [...r.children].map(c => c.textContent))"
        )
        return found

    def download(self, name: str) -> list[dict[str, str]]:
        """What the button below a table gives."""
        with self.page.expect_download() as waited:
            self.page.locator(f'.st-key-csv_{name} button').click()
        assert waited.value.suggested_filename == f'{name}.csv'
        return list(csv.DictReader(io.StringIO(waited.value.path().read_text('utf-8'))))


@pytest.fixture
def visit(browser: Browser, dashboard: Dashboard) -> Iterator[Visit]:
    found = Visit(browser, dashboard)
    yield found
    found.context.close()
    assert found.heard == []


@pytest.mark.parametrize('scheme', ['light', 'dark'])
@pytest.mark.parametrize('width', [1400, 390])
def test_every_page_is_there_without_an_error_and_fits_its_window(
    browser: Browser, dashboard: Dashboard, width: int, scheme: str
) -> None:
    visit = Visit(browser, dashboard, width, scheme)
    for place in PAGES:
        page = visit.open(place)
        assert page.locator('[data-testid="stException"], .kly-bad').count() == 0, place
        assert page.evaluate('document.documentElement.scrollWidth') <= width, place
        assert visit.heard == [], place
    visit.context.close()
