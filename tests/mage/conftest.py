"""A real editor and a browser in front of it: one for all tests of a file."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from kly_mage.mage.alerts import WEBHOOK
from kly_mage.mage.client import EMAIL
from tests.mage.browser import browser_page, sign_in
from tests.mage.server import Server, Webhook, running_editor

START, END = '2025-10-01', '2025-10-31'


@pytest.fixture(scope='module')
def editor() -> Iterator[tuple[Server, Webhook]]:
    # Not pytest's own folder: under root, PostgreSQL runs as another user, who cannot get in there.
    folder = Path(tempfile.mkdtemp(prefix='kly_editor_', dir='/tmp'))
    folder.chmod(0o755)
    with running_editor(folder) as running:
        yield running
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def server(editor: tuple[Server, Webhook]) -> Server:
    return editor[0]


@pytest.fixture
def webhook(editor: tuple[Server, Webhook]) -> Webhook:
    return editor[1]


@pytest.fixture
def loaded(server: Server) -> None:
    """The sample is in the warehouse: whoever runs alone loads it, others find what tests before them have loaded."""
    if server.query("select to_regclass('gold.daily_summary')") == [(None,)] or not server.query(
        'select 1 from gold.daily_summary having count(distinct date) >= 31'
    ):
        done = server.command('backfill', '--start', START, '--end', END)
        assert done.returncode == 3, done.stderr  # the sample's rejects and conflicts


@pytest.fixture(scope='module')
def page(editor: tuple[Server, Webhook]) -> Iterator[Page]:
    with browser_page() as opened:
        sign_in(opened, editor[0].url, EMAIL, editor[0].password)
        yield opened


@pytest.fixture
def alerted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    """What alerts of this process call."""
    called = Webhook()
    monkeypatch.setenv(WEBHOOK, called.url)
    yield called
    called.close()
