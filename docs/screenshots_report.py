"""Take docs/reconciliation.png: the page that ``reconcile --html`` makes of the sample, as Chromium shows it.

    python docs/screenshots_report.py

Loads the sample into a database of its own on the embedded server, and leaves nothing else behind.
"""

import os
import sys
import tempfile
import uuid
from pathlib import Path

import psycopg2
from playwright.sync_api import sync_playwright

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from kly_mage.__main__ import main  # noqa: E402 - after the path
from kly_mage.common.settings import load_settings  # noqa: E402
from kly_mage.warehouse.postgres.server import server  # noqa: E402

CHROMIUM = '/usr/bin/chromium'
SHOT = REPOSITORY / 'docs' / 'reconciliation.png'


def take() -> None:
    """Load the sample, reconcile it, open the page and photograph its upper part."""
    name = f'shot_{uuid.uuid4().hex[:8]}'
    os.environ |= {'POSTGRES_DBNAME': name, 'KLY_DATA_DIR': str(REPOSITORY / 'data'), 'KLY_TIMEZONE': 'Asia/Jakarta'}
    settings = server(load_settings())
    try:
        main(['backfill', '--start', '2025-10-01', '--end', '2025-10-31', '--quiet'])
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / 'reconciliation.html'
            main(['reconcile', '--start', '2025-10-01', '--end', '2025-10-31', '--html', str(page), '--quiet'])
            photograph(page, SHOT)
    finally:
        connection = psycopg2.connect(host=settings.host, port=settings.port, dbname='postgres', user=settings.user)
        connection.autocommit = True
        connection.cursor().execute(f'drop database if exists {name} with (force)')
        connection.close()


def photograph(page: Path, shot: Path) -> None:
    """The page on a desk, down to the end of the charts and findings."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'])
        tab = browser.new_page(viewport={'width': 1120, 'height': 900}, color_scheme='light')
        tab.goto(page.as_uri())
        end = tab.evaluate("document.querySelectorAll('h2')[3].getBoundingClientRect().top + window.scrollY")
        tab.screenshot(path=str(shot), clip={'x': 0, 'y': 0, 'width': 1120, 'height': end}, full_page=True)
        browser.close()


if __name__ == '__main__':
    take()
