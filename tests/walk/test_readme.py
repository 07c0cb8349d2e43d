"""Each command that the README shows, run as it stands."""

import re

import pytest

from kly_mage.common.settings import REPOSITORY
from tests.walk.clone import Clone

pytestmark = [pytest.mark.walk, pytest.mark.one_version]

KLY = '.venv/bin/python -m kly_mage'
# Exit code, and what has to be seen. Of the sample's ads 7,991 rows count and earn 1,012.648945 USD, 64 rows conflict and 23
# cannot be used (data/README.md), which is why some end with 3. Of the 265 ads of the 15th three equal another: 262.
SHOWN = {
    'make run': (0, 'every cent accounted for; 1,012.648945 USD count'),
    f'{KLY} inspect data/ga4_events/ga4_events_20251001.csv': (0, 'page_view'),
    f'{KLY} inspect data_google/gam_delivery/gam_delivery_20251001.csv.gz --mapping': (0, '[[mapping]]'),
    'make run SAMPLE=google': (0, '1,012.648945 USD count'),
    f'{KLY} backfill --start 2025-10-01 --end 2025-10-31': (3, 'already loaded'),
    f'{KLY} status': (0, 'no day missing'),
    f'{KLY} reconcile --html page.html': (3, 'every cent accounted for'),
    f'{KLY} rejects': (3, '23 rejects wait'),
    f'{KLY} show --by site': (0, '1,012.65'),
    f'{KLY} export gold.parquet': (0, '3,709 rows'),
    f"{KLY} psql -c 'select * from gold.finality limit 5'": (0, 'final'),
    '.venv/bin/mage run kly_mage ads_revenue --runtime-vars \'{"run_date": "2025-10-15"}\'': (
        0,
        'gam_delivery: 262 rows handed on, which stand for 3 equal ones',
    ),
    'make stop': (0, ''),
}
# What serves until Ctrl-C is walked through in a browser.
SERVING, PAGES = ['make editor', 'make dashboard'], 'tests/walk/test_pages.py'
# What wants an engine: run by tests/security/test_compose.py, which is ``make test-docker``.
COMPOSE = ['cp .env.example .env', 'docker compose up --build --detach']


def commands() -> list[str]:
    """The lines of the README's blocks of commands, without what is remarked behind them."""
    blocks = re.findall(r'^```sh\n(.*?)^```$', (REPOSITORY / 'README.md').read_text('utf-8'), re.DOTALL | re.MULTILINE)
    return [line.partition('  #')[0].strip() for block in blocks for line in re.sub(r' \\\n *', ' ', block).splitlines()]


def test_each_command_of_the_readme_is_run() -> None:
    assert sorted(commands()) == sorted([*SHOWN, *SERVING, *COMPOSE])
    pages = (REPOSITORY / PAGES).read_text('utf-8')
    assert [command for command in SERVING if f"clone.starts('{command}'" not in pages] == []


@pytest.mark.parametrize('command', [each for each in commands() if each in SHOWN])
def test_a_command_of_the_readme_works(clone: Clone, first_screen: str, command: str) -> None:
    code, shows = SHOWN[command]
    assert shows in (first_screen if command == 'make run' else clone.types(command, code))
