"""Takes the pictures of the README: ``python docs/screenshots.py``, from the root, with Chromium installed.

A copy of the project is started with the sample; nothing of this checkout but ``docs/*.png`` changes.
"""

import shutil
import sys
import tempfile
from datetime import date
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from kly_mage.mage.editor import EMAIL  # noqa: E402 - after the path
from tests.mage.browser import EditorPage, browser_page, create_backfill, sign_in  # noqa: E402
from tests.mage.server import running_editor  # noqa: E402


def main() -> None:
    """The finished backfill, then the editor with a block's rows and a chart."""
    folder = Path(tempfile.mkdtemp(prefix='kly_pictures_', dir='/tmp'))
    folder.chmod(0o755)
    with running_editor(folder) as (server, _), browser_page(1500, 900) as page:
        sign_in(page, server.url, EMAIL, server.password)
        number = create_backfill(page, server.url, 'articles_performance', date(2025, 10, 1), date(2025, 10, 31))
        assert server.backfilled(number) == 'completed'
        page.goto(f'{server.url}/pipelines/articles_performance/backfills/{number}')
        page.get_by_text('Completed').first.wait_for()
        page.wait_for_timeout(1500)
        page.screenshot(path=REPOSITORY / 'docs/backfill.png')
        opened = EditorPage(page, server.url, 'articles_performance', side='charts')
        opened.run('preview_daily_summary')
        opened.center('preview_daily_summary')
        page.mouse.move(640, 500)
        page.mouse.wheel(0, 900)  # from the block's text down to its rows
        page.wait_for_timeout(1500)
        page.screenshot(path=REPOSITORY / 'docs/editor.png')
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == '__main__':
    main()
