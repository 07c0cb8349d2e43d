"""Takes the picture of the dashboard: ``python docs/screenshots_dashboard.py ADDRESS``, as ``make dashboard`` prints it.

The sample is to be loaded; nothing but ``docs/dashboard.png`` changes.
"""

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from tests.mage.browser import browser_page  # noqa: E402 - after the path

DRAWN = """[...document.querySelectorAll('[data-testid=stVegaLiteChart]')].filter(
    chart => chart.querySelector('canvas, svg')).length === 4"""


def main(address: str) -> None:
    """The overview of the second half of the sample's month, beside the first."""
    place, _, token = address.partition('?')
    with browser_page(1400, 1000) as page:
        page.goto(f'{place}?from=2025-10-16&to=2025-10-31&{token}')
        page.get_by_role('region', name='By day').wait_for()
        page.wait_for_function(DRAWN)
        page.wait_for_timeout(2000)
        page.screenshot(path=REPOSITORY / 'docs/dashboard.png')


if __name__ == '__main__':
    main(sys.argv[1])
