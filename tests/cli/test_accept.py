"""Rejects and conflicts that somebody has accepted: noted with who, when and why, and nobody is asked again."""

import json

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import Settings
from tests.delivery import ad, ads, deliver
from tests.gold import Query

Captured = pytest.CaptureFixture[str]
WHY = ['--accept', 'asked the ad server, ticket 7', '--by', 'Ani']


@pytest.fixture
def loaded(settings: Settings) -> Settings:
    """A conflict and a reject on the first, a conflict in a later file on the second."""
    deliver(settings, 'gam_delivery_20251001.csv', ad('a', '1'), ad('a', '2'), ad('b', 'x'))
    deliver(settings, 'gam_delivery_20251002.csv', ad('c', '3', day='2025-10-02'))
    deliver(settings, 'gam_delivery_20251003.csv', ad('c', '4', day='2025-10-02'))
    assert ads('2025-10-01', '2025-10-03') == 3
    return settings


@pytest.mark.usefixtures('loaded')
def test_conflicts_are_listed_with_what_they_say_and_what_counts(capsys: Captured) -> None:
    capsys.readouterr()
    assert main(['conflicts', '--start', '2025-10-01']) == 3
    told = capsys.readouterr().out
    assert 'gam_delivery/gam_delivery_20251001.csv' in told
    assert 'revenue_usd' in told
    assert 'gam_delivery_20251003.csv' not in told
    assert told.endswith('\n1 conflict waits\n')


@pytest.mark.usefixtures('loaded')
def test_what_is_accepted_raises_no_exit_code_any_more_and_is_noted(query: Query, capsys: Captured) -> None:
    assert main(['reconcile', '--quiet', '--source', 'gam_delivery']) == 3
    assert main(['rejects', *WHY]) == 0
    assert ads('2025-10-01', '2025-10-03') == 3  # the conflicts
    assert main(['conflicts', *WHY]) == 0
    noted = "select accepted_by, accepted_because, accepted_at > now() - interval '1 hour' from bronze."
    assert query(f'{noted}rejects') == [('Ani', WHY[1], True)]
    assert query(f'{noted}gam_delivery_conflicts') == [('Ani', WHY[1], True)] * 2
    capsys.readouterr()
    assert ads('2025-10-01', '2025-10-03') == 0
    assert 'cannot be used' not in capsys.readouterr().err
    assert main(['reconcile', '--json', '--source', 'gam_delivery']) == 0
    report = json.loads(capsys.readouterr().out)
    assert report['verdict'] == 'every cent accounted for'
    rows = report['sources']['gam_delivery']['total']['rows']
    assert (rows['conflict'], rows['rejected']) == (2, 1)  # they are still where they were
    assert (main(['conflicts']), main(['rejects'])) == (0, 0)


def test_what_comes_later_is_asked_about(loaded: Settings) -> None:
    assert (main(['rejects', *WHY]), main(['conflicts', *WHY])) == (0, 0)
    deliver(loaded, 'gam_delivery_20251001_again.csv', ad('a', '5'))
    assert ads('2025-10-01', '2025-10-03') == 3
    assert main(['conflicts']) == 3
    assert main(['reconcile', '--quiet', '--source', 'gam_delivery']) == 3


@pytest.mark.usefixtures('loaded')
def test_days_and_sources_that_were_not_meant_wait_on(query: Query) -> None:
    assert main(['conflicts', *WHY, '--start', '2025-10-02']) == 0
    assert main(['rejects', *WHY, '--start', '2025-10-02']) == 0
    assert main(['rejects', *WHY, '--source', 'ga4_events']) == 0
    assert query('select _partition_date::text from bronze.gam_delivery_conflicts where accepted_at is null') == [
        ('2025-10-01',)
    ]
    assert query('select count(*) from bronze.rejects where accepted_at is null') == [(1,)]
