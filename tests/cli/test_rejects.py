"""``rejects`` where many rows wait: a table that can be read, what all of them are about, and a document with every one."""

import json

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import Settings
from tests.delivery import ad, ads, deliver

MANY = 2_500  # more than come from the database at once


@pytest.fixture
def loaded(settings: Settings) -> Settings:
    """A day with as many rows whose revenue is no number, one whose clicks are none, and as many that can be used."""
    broken = [ad(f'unit {n}', revenue='n/a') for n in range(MANY)]
    good = [ad(f'fine {n}') for n in range(MANY)]
    deliver(settings, 'gam_delivery_20251001.csv', *broken, ad('clicks', clicks='x'), *good)
    assert ads('2025-10-01') == 3
    return settings


@pytest.mark.usefixtures('loaded')
def test_a_table_has_the_first_rows_and_then_how_many_there_are_of_each_kind(capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    assert main(['rejects', '--limit', '2']) == 3
    told = capfd.readouterr().out
    lines = [line.split() for line in told.splitlines()]
    # the header is line 1
    assert [line[1] for line in lines if line and line[-1].endswith('point') and line[2] == 'revenue_usd'] == ['2', '3']
    kinds = [
        (line[1], line[-1]) for line in lines if line and line[0].endswith('.csv') and line[1] in ('revenue_usd', 'clicks')
    ]
    assert kinds == [('revenue_usd', '2,500'), ('clicks', '1')]
    assert told.endswith('\n2,501 rejects wait; the first 2 are shown: --limit N shows more, --json all\n')


@pytest.mark.usefixtures('loaded')
def test_as_json_all_of_them_are_there_in_their_order(capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    assert main(['rejects', '--json']) == 3
    found = json.loads(capfd.readouterr().out)
    assert {name: found[name] for name in ('accepted', 'resolved', 'new')} == {'accepted': 0, 'resolved': 0, 'new': 0}
    assert [each['line'] for each in found['waiting']] == list(range(2, MANY + 3))
    assert found['waiting'][-1]['column'] == 'clicks'


@pytest.mark.usefixtures('loaded')
def test_few_are_listed_without_more_words(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(['rejects', '--accept', 'known', '--by', 'Ana']) == 0
    capfd.readouterr()
    assert main(['rejects']) == 0
    assert capfd.readouterr().out == '0 rejects wait\n'
