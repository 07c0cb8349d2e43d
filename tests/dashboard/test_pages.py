"""The pages in a real browser: what they show, how they look to a checker, and whether a keyboard is enough."""

import csv
import io
import re
import time
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path

import axe_playwright_python
import pytest
from playwright.sync_api import Browser, Page

from kly_mage.common.words import words
from tests.dashboard.conftest import Dashboard
from tests.mage.browser import browser_page
from tests.remedies import printed

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
    'proof?ad_unit=%2F21890000%2Fgayanusa%2Fsidebar',
    'proof',
    'words',
]
AXE = (Path(axe_playwright_python.__file__).parent / 'axe.min.js').read_text('utf-8')
# Streamlit 1.56 has no landmarks (the rule `region`), and says of its sidebar that it is open, which a section may not.
STREAMLITS = [('aria-allowed-attr', '.stSidebar')]
# Tables with numbers that lead nowhere, by their names: proofs end at rows of bronze with their files, and a total of days
# is proven by them.
WITHOUT_PROOF = """[...document.querySelectorAll('.kly-wide')].filter(table =>
    [...table.querySelectorAll(location.pathname === '/proof' ? 'tbody td.kly-right' : 'td.kly-right')].some(
        cell => cell.textContent && !cell.querySelector('a'))
).map(table => table.ariaLabel.split(':')[0])"""
ENDS = {'Rows of ads', 'Files'}
# The tables of a page: name, the remark above, rows of cells with all their digits, and the file below, if there is one.
TABLES = """[...document.querySelectorAll('.kly-wide, .kly-note, [class*="st-key-csv_"]')].reduce(([found, note], part) => {
    const file = [...part.classList].find(name => name.startsWith('st-key-csv_'));
    if (file && found.length) found.at(-1).file ??= file.replace('st-key-csv_', '');
    if (part.matches('.kly-wide')) found.push({name: part.ariaLabel, note, file: null, rows:
        [...part.querySelectorAll('tbody tr')].map(row => [...row.children].map(cell =>
            cell.querySelector('span[title]')?.title.replace(' USD', '') ?? cell.textContent))});
    return [found, part.matches('.kly-note') ? part.textContent : ''];
}, [[], ''])[0]"""
# Streamlit has done what it had to.
DONE = "document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"


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
        self.page.set_default_timeout(60_000)
        self.page.on('console', lambda message: self._hear(message.type, message.text))
        self.page.on('pageerror', lambda error: self._hear('error', str(error)))
        self.page.on('request', lambda request: self._ask(request.url))
        self.page.goto(f'{self.url}/proof?token={dashboard.token}')
        self.page.locator('.kly-name').wait_for()  # the menu is there, whichever page of a new server is opened first
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
        self.page.wait_for_function(DONE)

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


EVERYWHERE = [
    pytest.param(1400, 'light', id='wide-light'),
    pytest.param(390, 'dark', id='narrow-dark'),
    pytest.param(1400, 'dark', id='wide-dark', marks=pytest.mark.slow),
    pytest.param(390, 'light', id='narrow-light', marks=pytest.mark.slow),
]


@pytest.mark.parametrize(('width', 'scheme'), EVERYWHERE)
def test_every_page_is_there_without_an_error_fits_its_window_and_can_be_read(
    browser: Browser, dashboard: Dashboard, width: int, scheme: str
) -> None:
    visit = Visit(browser, dashboard, width, scheme)
    for place in PAGES:
        page = visit.open(place)
        assert page.locator('[data-testid="stException"], .kly-bad').count() == 0, place
        assert page.evaluate('document.documentElement.scrollWidth') <= width, place
        assert visit.heard == [], place
        assert [found for found in violations(page) if found not in STREAMLITS] == [], place
        assert set(page.evaluate(WITHOUT_PROOF)) <= ENDS, place
    visit.context.close()


def test_every_table_downloads_with_all_rows_and_digits_and_a_link_leads_to_what_is_seen(
    visit: Visit, browser: Browser, dashboard: Dashboard
) -> None:
    other, seen = Visit(browser, dashboard), set[str]()
    for place in sorted({*PAGES} - {'sections', 'authors', 'words'}):  # two are as sites, words are no table
        page = visit.open(place)
        tables = page.evaluate(TABLES)
        for table in tables:
            name = f'{place}: {table["name"]}'
            assert table['file'], f'{name} has no file'
            seen.add(table['file'])
            rows = [list(row.values()) for row in visit.download(table['file'])]
            every = re.search(r'of ([\d,]+) are shown', table['note'])
            wanted = int(every[1].replace(',', '')) if every else len(table['rows'])
            assert len(rows) >= wanted if 'file has all' in table['note'] else len(rows) == wanted, name
            below = iter(rows)
            for cells in table['rows']:
                assert any(all(any(is_shown(value, cell) for value in row) for cell in cells) for row in below), (
                    name,
                    cells,
                )
        link = page.locator('.kly-ranges a', has_text='link to these days')
        url = link.evaluate('a => a.href') if link.count() else page.url
        assert ('from=' in url and 'to=' in url) == bool(link.count()), place
        assert other.open(url.removeprefix(f'{dashboard.url}/')).evaluate(TABLES) == tables, place
    other.context.close()
    assert {'by_day', 'articles', 'sites', 'ads_by_ad_unit', 'rejects', 'loads', f'article_{ARTICLE}_by_day'} <= seen


def is_shown(value: str, cell: str) -> bool:
    """Whether a cell of a page says what the file has, with all digits; instants to the minute, long texts to a length."""
    if value == cell or (len(cell) > 250 and value[:250] == cell[:250]):
        return True
    if cell.endswith(' UTC'):
        return value.replace('T', ' ').startswith(cell.removesuffix(' UTC'))
    try:
        return Decimal(value) == Decimal(cell.replace(',', ''))
    except InvalidOperation:
        return False


def violations(page: Page) -> list[tuple[str, str]]:
    """What axe-core finds: the rule, and where."""
    page.evaluate(AXE)
    # Words that are still being drawn have no contrast: until there are some that have.
    page.wait_for_function("async () => (await axe.run(document, {runOnly: ['color-contrast']})).passes.length > 0")
    wrong = [rule for rule in page.evaluate('axe.run(document)')['violations'] if rule['id'] != 'region']
    return [(rule['id'], place['target'][0]) for rule in wrong for place in rule['nodes']]


def test_the_overview_says_what_gold_says_with_all_digits_in_the_file(visit: Visit, dashboard: Dashboard) -> None:
    page = visit.open('?from=2025-10-01&to=2025-10-31')
    # The sums of the sample, as README has them from reconcile.
    large = [text.strip() for text in page.locator('.kly-large').all_inner_texts()]
    assert large == ['15,361', '14,691', '1,012.65', '65.92']
    assert page.locator('.kly-large span').first.get_attribute('title') == '1012.648945 USD'
    rows = visit.rows('By day')
    assert [row[0] for row in rows] == [f'2025-10-{day:02}' for day in range(31, 0, -1)]
    # The names of columns and the totals of 31 days are seen wherever one scrolls.
    table = page.get_by_role('region', name='By day')
    table.evaluate('table => table.scrollTo(0, 300)')
    parts = ('thead th', 'tfoot td')
    seen, head, foot = (one.bounding_box() or {} for one in (table, *(table.locator(part).first for part in parts)))
    assert seen['y'] <= head['y'] < foot['y'] + foot['height'] <= seen['y'] + seen['height']
    told = {row['date']: row for row in visit.download('by_day')}
    shown = csv.DictReader(io.StringIO(dashboard.command('show', '--by', 'day', '--csv').stdout))
    wanted = {row['date']: row for row in shown}
    assert {day: {name: told[day][name] for name in row} for day, row in wanted.items()} == wanted


def test_a_number_leads_to_its_loads_files_and_rows(visit: Visit) -> None:
    page = visit.open('articles?from=2025-10-01&to=2025-10-31&sort=revenue_usd')
    page.get_by_role('region', name='307 articles').get_by_role('link', name='Data Center Baru').first.click()
    page.wait_for_url('**/articles?article=5479186*')
    visit.wait()
    # README's table: 99 pageviews and 12.79 USD on the 2nd, 69 and 3.34 on the 3rd.
    days = {row[0]: row[1:3] for row in visit.rows('By day')}
    assert (days['2025-10-02'], days['2025-10-03']) == (['99', '12.79'], ['69', '3.34'])
    page.get_by_role('link', name='2025-10-02').first.click()
    page.wait_for_url('**/proof?day=2025-10-02&article=5479186')
    visit.wait()
    page.get_by_text('They add up to gold.').wait_for()
    by_load = visit.rows('The numbers, by load')
    assert sum(int(row[2] or 0) for row in by_load) == 99
    ads = visit.download('proof_2025-10-02_gam_delivery')
    assert f'{sum(Decimal(row["revenue_usd"]) for row in ads):.2f}' == '12.79'
    page.get_by_role('row', name='gam_delivery/gam_delivery_20251002.csv').get_by_role('link').first.click()
    page.wait_for_url('**/proof?load=*')
    visit.wait()
    assert 'gam_delivery/gam_delivery_20251002.csv' in {row[0] for row in visit.rows('Files')}


PLACES = ('new', 'already_loaded', 'duplicate', 'conflicting', 'rejected', 'superseded', 'forgotten')


def test_the_numbers_of_a_site_an_ad_unit_and_of_all_lead_to_days_that_make_them_and_to_their_loads_and_files(
    visit: Visit,
) -> None:
    def made(page: Page, name: str, told: dict[str, str]) -> None:
        page.get_by_role('link', name=name, exact=True).first.click()
        page.get_by_role('heading', name='The numbers, by day').wait_for()
        visit.wait()
        days = visit.download('proof_days')
        for measure in told.keys() & {'pageviews', 'impressions', 'revenue_usd'}:
            if measure in days[0]:
                assert sum(Decimal(row[measure]) for row in days) == Decimal(told[measure]), measure

    span = 'from=2025-10-01&to=2025-10-31'
    page = visit.open(f'sites?{span}')
    site = visit.download('sites')[0]
    made(page, f'{int(site["pageviews"]):,}', site)
    page = visit.open(f'ads?{span}')
    unit = visit.download('ads_by_ad_unit')[0]
    made(page, f'{int(unit["impressions"]):,}', unit)
    page = visit.open(f'?{span}')
    made(page, '1,012.65', {'pageviews': '15361', 'revenue_usd': '1012.648945'})
    loads = visit.download('proof_days_loads')
    for row in loads:  # each row that was read has one place
        assert sum(int(row[f'rows_{place}']) for place in PLACES) == int(row['rows_read']), row
    # README: 7,991 rows of ads are new, and 49,817 events.
    new = [sum(int(row['rows_new']) for row in loads if row['source'] == name) for name in ('gam_delivery', 'ga4_events')]
    assert new == [7991, 49817]
    assert {row['source'] for row in visit.download('proof_days_files')} == {'gam_delivery', 'ga4_events'}


def test_a_link_asks_for_its_page_alone_and_back_leads_back(visit: Visit) -> None:
    page = visit.open('articles?from=2025-10-01&to=2025-10-31&search=data+center')
    whole = list[str]()
    page.on('request', lambda request: whole.append(request.url) if request.resource_type == 'document' else None)
    page.get_by_role('link', name='Data Center Baru').first.click()
    page.wait_for_url('**/articles?article=5479186*')
    page.get_by_text('Id 5479186').wait_for()
    page.get_by_role('link', name='2025-10-02').first.click()
    page.get_by_text('They add up to gold.').wait_for()
    page.go_back()
    page.get_by_text('Id 5479186').wait_for()
    page.go_back()
    page.get_by_label('Search in titles, or an id').wait_for()
    visit.wait()
    assert page.get_by_label('Search in titles, or an id').input_value() == 'data center'
    assert page.url.endswith('search=data+center')
    assert whole == []
    # For who opens it in another tab: Streamlit's own link to the first page leads to the page that it stands on.
    overview = page.locator('[data-testid=stSidebar] a', has_text='Overview').evaluate('a => a.href')
    assert overview == f'{visit.url}/overview?from=2025-10-01&to=2025-10-31'
    page = visit.open(overview.removeprefix(f'{visit.url}/'))
    assert (page.locator('h1').inner_text(), page.get_by_role('dialog').count()) == ('Overview', 0)


def test_what_is_chosen_stands_in_the_address_and_a_new_browser_sees_the_same(
    visit: Visit, browser: Browser, dashboard: Dashboard
) -> None:
    page = visit.open('articles?from=2025-10-05&to=2025-10-07')
    page.get_by_label('Search in titles, or an id').fill('data center')
    page.keyboard.press('Enter')
    page.wait_for_url('**search=data+center*')
    page.locator('[data-testid="stDateInput"] input').nth(1).fill('2025-10-06')
    page.keyboard.press('Enter')
    page.wait_for_url('**to=2025-10-06*')
    other = Visit(browser, dashboard)
    other.open(page.url.removeprefix(f'{dashboard.url}/'))
    rows = other.rows('article')
    assert rows
    assert all('data center' in row[0].lower() for row in rows)
    # The address changes before the table does, whose numbers of three days were others.
    until = time.monotonic() + 60
    while visit.rows('article') != rows and time.monotonic() < until:
        page.wait_for_timeout(100)
    assert visit.rows('article') == rows
    other.open('articles?from=2025-10-05&to=2025-10-07&search=data+center')
    assert other.rows('article') != rows
    other.context.close()


@pytest.mark.parametrize(('place', 'by'), [('sites', 'site'), ('sections', 'section'), ('authors', 'author')])
def test_sites_sections_and_authors_are_as_show_adds_them_up(
    visit: Visit, dashboard: Dashboard, place: str, by: str
) -> None:
    visit.open(f'{place}?from=2025-10-01&to=2025-10-31')
    told = {row[by]: row['revenue_usd'] for row in visit.download(place)}
    days = ('--from', '2025-10-01', '--to', '2025-10-31')
    shown = csv.DictReader(io.StringIO(dashboard.command('show', '--by', by, '--csv', *days).stdout))
    assert told == {row[by]: row['revenue_usd'] for row in shown}


def test_ads_and_health_say_what_the_ledger_says(visit: Visit, dashboard: Dashboard) -> None:
    visit.open('ads?from=2025-10-01&to=2025-10-31')
    told = visit.download('ads_by_ad_unit')
    # README: bronze holds 7,991 rows and 1,012.648945 USD, 64 conflict; rejected are 11 rows of ads, 9 events, 3 articles.
    assert sum(int(row['count_rows']) for row in told) == 7991
    assert sum(Decimal(row['revenue_usd']) for row in told) == Decimal('1012.648945')
    assert len(visit.download('conflicts')) == 64
    visit.open('health?from=2025-10-01&to=2025-10-31')
    assert len(visit.download('rejects')) == 23
    assert visit.page.locator('.kly-calendar a').count() == 3 * 31
    (unread,) = visit.page.get_by_text('The files were not read again so far').all_inner_texts()
    (command,) = printed(unread)
    assert dashboard.command(*command.split(), '--quiet').returncode == 3  # 64 conflicts wait
    visit.open('health?from=2025-10-01&to=2025-10-30')  # other days: what was asked is kept for some seconds
    assert visit.page.get_by_text('The files were not read again so far').count() == 0
    assert len(visit.rows('Reconciliation')) == 3 * 30 + 1  # a row for events without a day
    shown = visit.open('words').locator('.kly-words dd').all_inner_texts()
    assert shown == [meaning for told in words().values() for _, meaning in told]


def test_the_keyboard_alone_is_enough(browser: Browser, dashboard: Dashboard) -> None:
    visit = Visit(browser, dashboard)
    page = visit.open('?from=2025-10-01&to=2025-10-31')

    def go_to(name: str) -> None:
        for _ in range(60):
            page.keyboard.press('Tab')
            if page.evaluate('document.activeElement.textContent.trim()').startswith(name):
                outline = page.evaluate('getComputedStyle(document.activeElement).outlineStyle')
                assert outline != 'none', f'one does not see that {name} has the focus'
                page.keyboard.press('Enter')
                return
        raise AssertionError(f'the keyboard does not reach {name}')

    go_to('Articles')
    page.wait_for_url('**/articles?*')
    visit.wait()
    page.get_by_role('region', name='307 articles').wait_for()
    go_to('Potret Pernikahan')
    page.wait_for_url('**article=5423375*')
    visit.wait()
    assert visit.heard == []
    visit.context.close()


HOSTILE = '<img src=x onerror=alert(1)> $\\frac{1}{2}$ **bold** [x](javascript:alert(1)) </td>'


def test_a_title_of_others_is_shown_as_it_is_written(visit: Visit, dashboard: Dashboard, tmp_path: Path) -> None:
    """Last: its day is loaded on top of the sample."""
    (tmp_path / 'cms_articles').mkdir()
    (tmp_path / 'ga4_events').mkdir()
    (tmp_path / 'gam_delivery').mkdir()
    with (tmp_path / 'cms_articles' / 'cms_articles_20260105.csv').open('w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['content_id', 'site', 'title', 'author', 'section', 'publish_timestamp'])
        writer.writerow(['<b>7', 'a.example', HOSTILE, '_A_ & "B"', '<i>', '2026-01-05T08:00:00+07:00'])
    names = 'event_timestamp,event_name,user_pseudo_id,session_id,content_id,site,page_location,device_category,country'
    names += ',traffic_source'
    values = '2026-01-05T09:00:00+07:00,page_view,u,s,<b>7,a.example,https://a.example/?<script>,phone,ID,x'
    (tmp_path / 'ga4_events' / 'ga4_events_20260105.csv').write_text(f'{names}\n{values}\n')
    dashboard.environment['KLY_DATA_DIR'] = str(tmp_path)
    dashboard.command('backfill', '--start', '2026-01-05', '--end', '2026-01-05')
    days = 'from=2026-01-05&to=2026-01-05'
    visit.open(f'articles?{days}')
    assert visit.rows('article')[0][0] == HOSTILE
    page = visit.open(f'articles?{days}&article=%3Cb%3E7')
    assert page.locator('h1').inner_text() == HOSTILE
    assert page.locator('.katex, h1 strong, h1 a, td img').count() == 0
    visit.open(f'authors?{days}')
    assert visit.rows('author')[0][0] == '_A_ & "B"'
    page = visit.open('proof?day=2026-01-05&article=%3Cb%3E7')
    assert visit.rows('Rows of events')[0][4] == 'https://a.example/?<script>'
