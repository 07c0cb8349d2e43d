"""How long a page of the dashboard takes from a click until it is drawn, in Chromium, over a year of thirty publishers."""

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from playwright.sync_api import Page
from psycopg2.extensions import cursor as Cursor

from bench.contestants import REPOSITORY, command, database, environment, fresh
from bench.measure import Cost, Meter
from bench.year import FIRST, LAST, multiply
from kly_mage.common.window import today
from tests.dashboard.served import serving
from tests.mage.browser import browser_page
from tests.mage.server import free_port

AIM = 1.0  # seconds
SPANS = (31, 365)
_NAME = 'bench_dashboard'
_WORDS = "document.querySelector('[data-testid=stMain]')?.innerText"
# Streamlit has done what it had to, nothing of the page before is left, and each drawing is drawn.
_DRAWN = f"""([title, before]) => document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'
    && document.querySelector('h1')?.textContent.startsWith(title) && {_WORDS} !== before
    && !document.querySelector('[data-stale=true]')
    && [...document.querySelectorAll('[data-testid=stVegaLiteChart]')].every(chart => chart.querySelector('canvas, svg'))"""


@dataclass
class Opened:
    """A page, over some days.

    Attributes:
        page: which.
        days: chosen.
        costs: of each round; CPU is the server's.
        scanned: rows that the database read without an index, in the round that read most.
    """

    page: str
    days: int
    costs: list[Cost]
    scanned: int = 0


def run(host: str, meter: Meter, work: Path, rounds: int) -> tuple[int, list[Opened]]:
    """Make the year, open each page with each number of days; gives the rows of ``gold.daily_summary``, and what it took."""
    landing, last = REPOSITORY / 'data', today('Asia/Jakarta') - timedelta(days=1)
    fresh(host, _NAME)
    for arguments in (['backfill', '--start', str(FIRST), '--end', str(LAST)], ['reconcile']):
        command(host, _NAME, landing, [*arguments, '--quiet'], Cost(), (0, 3))
    multiply(host, _NAME, last)
    variables = os.environ | environment(host, _NAME, landing)
    variables |= {'KLY_DASHBOARD_PORT': str(free_port()), 'KLY_LOCAL_DIR': str(work / 'dashboard')}
    opened = {(page, days): Opened(page, days, []) for days in SPANS for page in _PAGES}
    with serving(variables) as token, browser_page(1400, 1000) as page:
        address = f'http://127.0.0.1:{variables["KLY_DASHBOARD_PORT"]}'
        page.goto(f'{address}/?token={token}')
        for turn in range(rounds + 1):  # the first warms up; each has days of its own, of which no answer is kept
            for days in SPANS:
                end = last - timedelta(days=turn)
                for name, cost, scanned in _round(page, address, end - timedelta(days=days - 1), end, host, meter):
                    sys.stderr.write(f'{days} days, {name}: {cost.seconds:.2f} s, {cost.cpu:.2f} s CPU, {scanned:,} rows\n')
                    if turn:
                        opened[name, days].costs.append(cost)
                        opened[name, days].scanned = max(scanned, opened[name, days].scanned)
    with database(host, _NAME) as connection, connection.cursor() as cursor:
        cursor.execute('select count(*) from gold.daily_summary')
        (rows,) = cursor.fetchone()
    fresh(host, _NAME)
    shutil.rmtree(work / 'dashboard', ignore_errors=True)
    return rows, list(opened.values())


# Page, what its head begins with, and what is clicked: a link of the menu, or the first of a table.
_MENU = '[data-testid=stSidebar] a:has-text("{}")'
_PAGES = {
    'articles': ('Articles', _MENU.format('Articles')),
    'one article': ('', 'tbody a[href*="article="]'),
    'its proof': ('20', 'tbody a[href^="proof?day="]'),
    'the proof of a day': ('20', 'a:has-text("the whole day")'),
    'a search': ('Articles', ''),
    'sites': ('Sites', _MENU.format('Sites')),
    'articles of a site': ('Articles', 'tbody a[href^="articles?"]'),
    'authors': ('Authors', _MENU.format('Authors')),
    'ads': ('Ads', _MENU.format('Ads')),
    'health': ('Health', _MENU.format('Health')),
    'overview': ('Overview', _MENU.format('Overview')),
}


def _round(page: Page, address: str, start: date, end: date, host: str, meter: Meter) -> Iterator[tuple[str, Cost, int]]:
    """Each page once, by a click on the one before."""
    days = f'from={start}&to={end}'
    page.goto(f'{address}/proof?{days}')
    page.wait_for_function(_DRAWN, arg=['Proof', ''])
    with database(host, _NAME) as connection, connection.cursor() as cursor:
        for name, (title, place) in _PAGES.items():
            if name == 'a search':  # a word of a title, sent by the key
                page.goto(f'{address}/articles?{days}')
                page.wait_for_function(_DRAWN, arg=[title, ''])
                page.get_by_label('Search in titles, or an id').fill('data center')
            elif 'proof' not in name and name != 'one article' and days not in page.url:
                page.goto(f'{address}/proof?{days}')  # the menu takes along the days of the address
                page.wait_for_function(_DRAWN, arg=['Proof', ''])
            before = _scanned(cursor)
            was, words = page.url, page.evaluate(_WORDS)
            with meter.measuring() as cost:
                if place:
                    page.locator(place).first.click()
                else:
                    page.keyboard.press('Enter')
                page.wait_for_url(lambda url, was=was: url != was)
                page.wait_for_function(_DRAWN, arg=[title, words])
            yield name, cost, _scanned(cursor) - before


def _scanned(cursor: Cursor) -> int:
    cursor.execute('select coalesce(sum(seq_tup_read), 0) from pg_stat_user_tables')
    return int(cursor.fetchone()[0])
