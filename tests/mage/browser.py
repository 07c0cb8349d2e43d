"""Mage's pages in a real browser: what a person clicks, in a few words."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocket, sync_playwright

CHARTS = [
    'pageviews_by_day',
    'sessions_by_day',
    'revenue_by_day',
    'page_rpm_by_section',
    'rows_by_outcome',
]  # as metadata.yaml lists them
CHROMIUM = ('/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome')
# Mage's buttons have no names: the one to run a block is the first right of the block's name, at the same height.
PLAY_BUTTON = """name => {
    const labels = [...document.querySelectorAll('*')].filter(e => !e.children.length && e.textContent.trim() === name);
    for (const label of labels) {
        label.scrollIntoView({block: 'center'});
        const box = label.getBoundingClientRect(), middle = box.y + box.height / 2;
        if (box.x < 250) continue;
        const buttons = [...document.querySelectorAll('button')].map(b => b.getBoundingClientRect())
            .filter(b => b.width && Math.abs(b.y + b.height / 2 - middle) < 14 && b.x > box.x && b.x < box.x + 900)
            .sort((a, b) => a.x - b.x);
        if (buttons.length) return [buttons[0].x + buttons[0].width / 2, buttons[0].y + buttons[0].height / 2];
    }
    return null;
}"""

# A chart's button is the first of three in the row of its select box, at the right of the page.
CHART_BUTTON = """name => {
    const names = NAMES;
    const all = [...document.querySelectorAll('button')].filter(b => {
        const box = b.getBoundingClientRect();
        return box.width && Math.abs(box.x - 1292) < 8;
    });
    return all[names.indexOf(name)];
}""".replace('NAMES', json.dumps(CHARTS))


@contextmanager
def browser_page(width: int = 1500, height: int = 1000) -> Iterator[Page]:
    """A page in a browser of its own; the test is skipped where Chromium is not installed."""
    program = next((path for path in CHROMIUM if Path(path).exists()), None)
    if program is None:
        pytest.skip('Chromium is not installed')
    with sync_playwright() as playwright:
        options = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update']
        browser = playwright.chromium.launch(executable_path=program, args=options)
        page = browser.new_page(viewport={'width': width, 'height': height})
        page.set_default_timeout(30_000)
        yield page
        browser.close()


def sign_in(page: Page, url: str, email: str, password: str) -> None:
    """Through the sign-in page, as a person does."""
    page.goto(f'{url}/sign-in')
    page.locator('input').first.fill(email)
    page.locator('input[type=password]').fill(password)
    page.keyboard.press('Enter')
    page.wait_for_url('**/overview*')


class EditorPage:
    """A pipeline opened for editing; hears what the kernel answers."""

    def __init__(self, page: Page, url: str, pipeline: str, side: str = 'tree') -> None:
        self.page, self._finished, self._said = page, {}, {}
        page.on('websocket', self._listen)
        page.goto(f'{url}/pipelines/{pipeline}/edit?sideview={side}')
        page.wait_for_load_state('networkidle')
        page.locator('.monaco-editor .view-lines').first.wait_for()
        page.wait_for_timeout(1500)  # the blocks still move while their code is drawn

    def _listen(self, socket: WebSocket) -> None:
        socket.on('framereceived', self._hear)

    def _hear(self, frame: Any) -> None:
        message = json.loads(frame)
        if not isinstance(message, dict):  # the terminal's socket
            return
        name = message.get('uuid')
        self._said.setdefault(name, []).append(str(message.get('data')))
        if message.get('execution_state') == 'idle':
            self._finished[name] = self._finished.get(name, 0) + 1

    def _close_dialog(self) -> None:
        """Mage says that the kernel has restarted when it hears of it for the first time."""
        button = self.page.get_by_text("Don't show again", exact=True)
        if button.count() and button.first.is_visible():
            button.first.click()

    def run(self, block: str, seconds: float = 60) -> str:
        """Press the play button of a block and wait for its end; gives everything the kernel said."""
        for _ in range(3):
            self._press(block)
            if self._end(block, seconds):
                break  # or else the click came too early for the page
        said = [text for text in self._said[block] if text != 'None']
        if not said:
            self.page.screenshot(path='/tmp/kly_browser.png')
            raise AssertionError(f'{block} says nothing; the page is in /tmp/kly_browser.png')
        return '\n'.join(said)

    def _press(self, block: str) -> None:
        self.page.get_by_text(block, exact=True).first.wait_for()
        self._close_dialog()
        self._said[block], self._finished[block] = [], 0
        place = self.page.evaluate(PLAY_BUTTON, block)
        assert place, f'no play button beside {block}'
        self.page.mouse.click(*place)
        self.page.wait_for_timeout(300)
        menu = self.page.get_by_text('Execute block', exact=True)
        if menu.count() and menu.first.is_visible():
            menu.first.click()

    def _end(self, name: str, seconds: float) -> bool:
        """Wait for the end; False if nothing was heard of it within 15 seconds."""
        began = time.monotonic()
        while not self._finished.get(name):
            waited = time.monotonic() - began
            if waited > 15 and not self._said[name]:
                return False
            assert waited < seconds, f'{name} has not finished: {self._said[name]}'
            self.page.wait_for_timeout(100)
        self.page.wait_for_timeout(700)
        return True

    def center(self, block: str) -> None:
        """Scroll to a block."""
        self.page.evaluate(PLAY_BUTTON, block)

    def run_chart(self, chart: str, seconds: float = 60) -> str:
        """Press the button that runs a chart in the side pane; gives everything the kernel said."""
        self.page.wait_for_function(f'({CHART_BUTTON})({json.dumps(chart)}) != null')
        self._close_dialog()
        self._said[chart], self._finished[chart] = [], 0
        button = self.page.evaluate_handle(CHART_BUTTON, chart).as_element()
        assert button, f'no button to run {chart}'
        button.scroll_into_view_if_needed()
        button.click()
        assert self._end(chart, seconds), f'nothing heard of {chart}'
        return '\n'.join(self._said[chart])


def create_backfill(page: Page, url: str, pipeline: str, start: date, end: date) -> int:
    """Fill in the page of a new backfill, save it and start it; gives its number."""
    page.goto(f'{url}/pipelines/{pipeline}/backfills')
    page.get_by_text('Create new backfill').first.click()
    page.wait_for_url('**/backfills/*/edit')
    page.wait_for_load_state('networkidle')  # when the backfill has come, the form is drawn anew, and empty
    number = int(page.url.split('/backfills/')[1].split('/')[0])
    page.get_by_placeholder('Name this backfill').fill('October from the page')
    for position, day in enumerate((start, end)):
        page.get_by_placeholder('YYYY-MM-DD HH:MM').nth(position).click()
        _pick(page, day)
    page.locator('select').first.select_option(label='Day')
    page.locator('input[type=number]').first.fill('1')
    page.get_by_text('Save changes').first.click()
    page.get_by_text('Start backfill').first.click()
    return number


def _pick(page: Page, day: date) -> None:
    """Choose a day in the calendar that is open."""
    label = page.locator('.react-calendar__navigation__label').last
    for _ in range(200):
        shown = time.strptime(label.inner_text().strip(), '%B %Y')
        months = (shown.tm_year - day.year) * 12 + shown.tm_mon - day.month
        if not months:
            break
        name = ('prev' if months > 0 else 'next') + ('2' if abs(months) >= 12 else '')
        page.locator(f'.react-calendar__navigation__{name}-button').last.click()
    page.locator(f'abbr[aria-label="{day:%B} {day.day}, {day.year}"]').first.click()
    page.locator('h4, h5, h3').first.click(force=True)  # anywhere else: closes the calendar
    page.wait_for_timeout(300)
