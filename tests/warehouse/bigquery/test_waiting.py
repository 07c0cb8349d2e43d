"""``rejects``, ``conflicts`` and ``export`` on BigQuery: what waits is told, tried again, and gold goes into a file."""

import csv
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import Settings
from tests.delivery import HEADERS, ad, ads, deliver
from tests.warehouse.bigquery.test_loads import Query

MORE = HEADERS['gam_delivery'] + ',device'


def told(capsys: pytest.CaptureFixture[str], *command: str) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON of a command."""
    capsys.readouterr()
    code = main([*command, '--json'])
    return code, json.loads(capsys.readouterr().out)


def test_what_waits_is_told_and_tried_again_and_gold_is_exported(
    settings: Settings, query: Query, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = 'gam_delivery_20251001.csv'
    rows = [ad('top', '1.5'), ad('side', '2'), ad('side', '-0.25'), ad('low', 'x'), ad('odd', clicks='-'), 'when,,,,,,,']
    path = deliver(settings, first, *(f'{row},phone' for row in rows), f'{ad("top", "1.5")},tablet', header=MORE)
    path.write_bytes(path.read_bytes() + f'{ad("end", "4")},phone'.encode())  # a line without an end
    deliver(settings, 'gam_delivery_20251002.csv', ad('late', 'y', day='2025-10-02'))
    assert ads('2025-10-01', '2025-10-02') == 3
    code, found = told(capsys, 'rejects')
    name = f'gam_delivery/{first}'
    assert code == 3
    assert [(each['file'], each['line'], each['column'], each['day']) for each in found['waiting']] == [
        (name, 5, 'revenue_usd', '2025-10-01'),
        (name, 6, 'clicks', '2025-10-01'),
        (name, 7, 'served_at', None),
        (name, 9, 'device', '2025-10-01'),
        ('gam_delivery/gam_delivery_20251002.csv', 2, 'revenue_usd', '2025-10-02'),
    ]
    # The row that says no day goes with its file.
    days = ['--start', '2025-10-01', '--end', '2025-10-01']
    assert [each['line'] for each in told(capsys, 'rejects', *days)[1]['waiting']] == [5, 6, 7, 9]
    assert main(['rejects', *days]) == 3
    assert capsys.readouterr().out.endswith('\n4 rejects wait\n')
    code, found = told(capsys, 'conflicts')
    assert code == 3
    assert [(each['line'], each['key'], each['differences']) for each in found['waiting']] == [
        (4, '2025-10-01 05:00:00+00 side line creative 7', {'revenue_usd': {'says': '-0.25', 'counts': '2'}}),
        (8, '2025-10-01 05:00:00+00 top line creative 7', {'device': {'says': 'tablet', 'counts': 'phone'}}),
    ]
    # Somebody mends one line, takes another out, and says that the last one is whole.
    text = path.read_text('utf-8')
    path.write_text(text.replace(f'{rows[3]},phone', f'{ad("low", "3")},phone').replace('\nwhen,', '\n2025-10-01,'), 'utf-8')
    assert main(['rejects', '--retry']) == 3
    capsys.readouterr()
    code, found = told(capsys, 'rejects')
    assert (code, [each['line'] for each in found['waiting']][-1]) == (3, 2)
    assert 5 not in [each['line'] for each in found['waiting'] if each['file'] == name]
    assert query('select count(*) from bronze.rejects where taken_at is not null') == [(1,)]
    # 1.5 + 2 + the mended 3 + the last 4
    assert query("select revenue_usd from gold.gam_daily_summary where content_id = '7'") == [(Decimal('10.5'),)]
    exported(tmp_path, capsys)


def exported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Gold as files: every digit, the types of PostgreSQL's."""
    assert main(['export', str(folder / 'gold.csv')]) == 0
    assert capsys.readouterr().out.startswith('1 row of gold.daily_summary in ')
    (row,) = csv.DictReader((folder / 'gold.csv').read_text('utf-8').splitlines())
    assert (row['date'], row['content_id'], row['revenue_usd'], row['impressions']) == ('2025-10-01', '7', '10.5', '40')
    assert main(['export', str(folder / 'gold.parquet'), '--table', 'gam_daily_summary']) == 0
    found = pl.read_parquet(folder / 'gold.parquet')
    assert dict(found.schema) == {
        **{'served_date': pl.Date, 'content_id': pl.String, 'impressions': pl.Int64, 'clicks': pl.Int64},
        'revenue_usd': pl.Decimal(38, 12),
    }
    assert found['revenue_usd'].to_list() == [Decimal('10.5')]
    days = ['--start', '2025-11-01', '--end', '2025-11-02']
    assert main(['export', str(folder / 'none.csv'), *days]) == 0
    assert len((folder / 'none.csv').read_text('utf-8').splitlines()) == 1
