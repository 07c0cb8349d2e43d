"""``status`` on BigQuery: what became of each day, and what loads and refreshes have cost."""

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import Settings
from kly_mage.warehouse.bigquery.client import Client, Job
from kly_mage.warehouse.costs import usd
from tests.clock import lasting_day
from tests.delivery import HEADERS, ad, ads, deliver


def states(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON of ``status``."""
    capsys.readouterr()
    code = main(['status', '--json', '--source', 'gam_delivery', *options])
    return code, json.loads(capsys.readouterr().out)


def test_each_day_is_told_as_it_is_and_what_loads_have_read_with_its_price(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lasting_day(5)  # costs are told by day
    monkeypatch.setattr(Client, 'spent', lambda self: [Job('load', 1 << 30, 1 << 40, 1500)])
    assert states(capsys) == (0, {'missing': 0, 'not_understood': {}, 'sources': {'gam_delivery': NEVER}, 'costs': []})
    deliver(settings, 'gam_delivery_20251001.csv', ad(), ad(), ad(revenue='2'))
    deliver(settings, 'gam_delivery_20251003.csv', ad(day='2025-10-03', revenue='x'))
    deliver(settings, 'gam_delivery_20251004.csv')
    deliver(
        settings, 'gam_delivery_20251009.csv', ad(day='2025-10-09'), header=HEADERS['gam_delivery'].replace('clicks', 'x')
    )
    deliver(settings, 'gam_delivery_20251005.csv', ad(day='2025-10-05'))
    assert ads('2025-10-01', '2025-10-09') == 3
    (settings.data_dir / 'gam_delivery/gam_delivery_20251005.csv').unlink()
    deliver(settings, 'gam_delivery_20251013.csv', ad(day='2025-10-13'))
    code, told = states(capsys)
    found = told['sources']['gam_delivery']
    assert code == 3
    assert {day['day'][-2:]: (day['state'], day['rows']) for day in found['days']} == {
        '01': ('loaded', 3),
        **{f'{day:02}': ('missing file', 0 if day < 10 else None) for day in (2, 6, 7, 8, 10, 11, 12)},
        '03': ('all rejected', 1),
        '04': ('empty file', 0),
        '05': ('file removed', 1),
        '09': ('incomplete', 0),
        '13': ('not loaded', None),
    }
    assert list(found['left_out']) == ['gam_delivery/gam_delivery_20251009.csv']
    assert (found['rejects'], found['conflicts'], found['newest_day']) == (1, 1, '2025-10-05')
    assert (found['last_load']['start'], found['last_load']['end']) == ('2025-10-01', '2025-10-09')
    # A load of ads, the refresh of their mart and of the summary: a tebibyte each here, 6.25 USD.
    (cost,) = told['costs']
    del cost['day']
    assert cost == {'runs': 3, 'bytes_processed': 3 << 30, 'bytes_billed': 3 << 40, 'slot_ms': 4500, 'usd': '18.75'}
    assert main(['status', '--source', 'gam_delivery']) == 3
    assert 'the last 7 days, at 6.25 USD per TiB' in capsys.readouterr().out


def test_a_load_and_status_say_which_day_is_far_off_and_that_nothing_new_has_come(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    now = lasting_day(5)
    newest, usual = now - timedelta(days=4), [now - timedelta(days=back) for back in range(5, 13)]
    rows = [ad(f'unit{n}', day=f'{day}') for day in usual for n in range(30)]
    deliver(settings, 'gam_delivery.csv', *rows, *(ad(f'unit{n}', day=f'{newest}') for n in range(3)))
    assert ads(f'{usual[-1]}', f'{now - timedelta(days=1)}', '--json') == 3
    (load,) = json.loads(capsys.readouterr().out)['ranges'][0]['loads']
    # The median of eight days of 30 rows; 3 are less than a fifth of it.
    far_off = [f'{newest}: 3 rows, a day around it brings 30']
    stale = f'nothing is newer than {newest}, 4 days ago; at most 2 are declared'
    assert (load['far_off'], load['stale']) == (far_off, stale)
    code, told = states(capsys)
    found = told['sources']['gam_delivery']
    assert (code, found['far_off'], found['stale']) == (3, far_off, stale)
    # A holiday, and then a strike: nobody is asked about them again, unless the day changes.
    assert main(['status', '--source', 'gam_delivery', '--accept', 'Nyepi', '--by', 'Ani']) == 0
    assert '2 findings accepted by Ani: Nyepi' in capsys.readouterr().err
    found = states(capsys)[1]['sources']['gam_delivery']
    assert (found['far_off'], found['stale']) == ([], None)


NEVER = {
    **{'source': 'gam_delivery', 'days': [], 'last_load': None, 'newest_day': None, 'lag_days': None, 'rejects': 0},
    **{'conflicts': 0, 'late': {}, 'rules': {}, 'left_out': {}, 'far_off': [], 'stale': None, 'provisional': []},
    'missing': [],
}


def test_what_bytes_cost_is_exact() -> None:
    # 10 MB, the least of a table: 10,485,760 / 1,099,511,627,776 * 6.25 = 0.0000596046...
    assert (usd(10 << 20), usd(0), usd(1 << 40)) == (Decimal('0.000060'), Decimal(0), Decimal('6.25'))
