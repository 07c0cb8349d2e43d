"""The one line of a load: what it says, and when something needs a look."""

from datetime import date
from typing import Any

import pytest

from kly_mage.common.settings import Settings
from kly_mage.loads import summary
from kly_mage.loads.steps import export_new_rows, hash_rows, read_days
from kly_mage.warehouse.ledger import CORRECTED
from tests.delivery import HEADERS, ad, deliver

WELL: dict[str, Any] = {
    'source': 'gam_delivery',
    'days': '2025-10-01',
    'left_out': {},
    'files_changed': 0,
    'far_off': [],
    'final_days': [],
    'stale': None,
    'stale_days': [],
    **{f'rows_{part}': 0 for part in ('duplicate', 'rejected', 'conflicting', 'restated', 'outside', 'superseded')},
    'rows_forgotten': 0,
    'rows_unchanged': 0,
    **{f'rows_{part}': 0 for part in CORRECTED},
    **{'rejects_accepted': 0, 'conflicts_accepted': 0},
    **{'rows_read': 1270, 'rows_distinct': 1270, 'rows_new': 1200, 'rows_already_loaded': 70},
}


def test_a_load_that_is_well_says_its_days_and_counts() -> None:
    told = '1,270 read, 1,270 distinct, 1,200 new, 70 already loaded, 0 rejected, 0 conflicting'
    assert summary.line(WELL, [], []) == f'gam_delivery 2025-10-01: {told}'
    assert summary.look(WELL, []) == []


@pytest.mark.parametrize(
    ('part', 'look'),
    [
        ('rejected', 'rows cannot be used (python -m kly_mage rejects --source gam_delivery)'),
        ('conflicting', 'rows have the key of others and other values (python -m kly_mage conflicts --source gam_delivery)'),
        ('outside', 'rows are of days that their file may not hold (kly_mage/declared/gam_delivery.py says which)'),
    ],
)
def test_rows_that_do_not_count_need_a_look(part: str, look: str) -> None:
    load = WELL | {f'rows_{part}': 2}
    assert summary.look(load, []) == [look]
    assert f', 2 {part}' in summary.line(load, [], [look])
    assert summary.line(load, [], [look]).endswith(f'; needs a look: {look}')


@pytest.mark.parametrize(
    ('rows', 'accepted'), [('rows_rejected', 'rejects_accepted'), ('rows_conflicting', 'conflicts_accepted')]
)
def test_what_somebody_has_accepted_needs_none(rows: str, accepted: str) -> None:
    assert summary.look(WELL | {rows: 2, accepted: 2}, []) == []
    assert len(summary.look(WELL | {rows: 2, accepted: 1}, [])) == 1


def test_duplicates_are_counted_and_need_none() -> None:
    load = WELL | {'rows_duplicate': 3}
    assert summary.counts(load, []).endswith(', 3 duplicate')
    assert summary.look(load, []) == []


def test_files_left_out_and_days_without_a_file_are_named() -> None:
    load = WELL | {'left_out': {'gam_delivery/bad.csv': 'required column missing: clicks'}}
    missing = [date(2025, 10, day) for day in (2, 4, 5)]
    assert summary.counts(load, missing).endswith(', 1 file left out, 3 days missing')
    assert summary.look(load, missing) == [
        'no file and no row for 2025-10-02, 2025-10-04 to 2025-10-05',
        'gam_delivery/bad.csv is left out',
    ]


def test_files_that_changed_after_they_were_loaded_need_a_repair() -> None:
    load = WELL | {'files_changed': 2}
    assert summary.counts(load, []).endswith(', 2 files changed')
    assert summary.look(load, []) == [
        'files have changed since they were loaded (python -m kly_mage repair --source gam_delivery)'
    ]


def test_an_exporter_that_takes_a_frame_says_the_line_of_its_load(settings: Settings) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad('a', '2'), ad('a', '2'), ad('a', '3'), ad('b', 'much'))
    (settings.data_dir / 'gam_delivery' / 'gam_delivery_20251001.orc').touch()
    (settings.data_dir / 'gam_delivery' / 'gam_delivery_20251002.csv').write_text(f'{HEADERS["gam_delivery"]}\n')
    days = {'start_date': '2025-10-01', 'end_date': '2025-10-02'}
    load = export_new_rows(hash_rows(read_days('gam_delivery', days), 'gam_delivery'), 'gam_delivery', days)
    # Two equal rows count once; the third has their key and another revenue; the fourth has no number there.
    assert load['line'] == (
        'gam_delivery 2025-10-01 to 2025-10-02: 4 read, 2 distinct, 1 new, 0 already loaded, 1 rejected, 1 conflicting, '
        '1 duplicate, 1 day missing; needs a look: no file and no row for 2025-10-02; '
        'rows cannot be used (python -m kly_mage rejects --source gam_delivery); '
        'rows have the key of others and other values (python -m kly_mage conflicts --source gam_delivery); '
        'gam_delivery/gam_delivery_20251001.orc is not understood: '
        'only files whose names end in .csv, .ndjson, .jsonl, .json, .avro (or these and .gz, .zst, .zip) or .parquet '
        'are read'
    )
    assert len(load['look']) == 4
