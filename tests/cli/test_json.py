"""``--json``: one document on standard output and nothing else, in the shape of docs/json.md; exit codes stay."""

import json
import re
from typing import Any

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import REPOSITORY, Settings
from tests.delivery import ad, article, deliver, event
from tests.gold import Query

pytestmark = pytest.mark.one_version

Captured = pytest.CaptureFixture[str]
DAY = ('--start', '2025-10-01')


def delivered(settings: Settings) -> None:
    """A day with a conflict (the same ad, 1 then 2 USD), a reject and a file that is not understood."""
    deliver(settings, 'cms_articles_20251001.csv', article('7'))
    deliver(settings, 'ga4_events_20251001.csv', event(), event('u2'))
    deliver(settings, 'gam_delivery_20251001.csv', ad(revenue='1'), ad(revenue='2'), ad('side', revenue='n/a'))
    (settings.data_dir / 'gam_delivery' / 'notes.txt').write_text('later')


def answer(capfd: Captured, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit code, and all of standard output as one document."""
    capfd.readouterr()
    code = main([*arguments, '--json'])
    found: dict[str, Any] = json.loads(capfd.readouterr().out)
    return code, found


def test_backfill_tells_of_each_range_what_each_load_did(settings: Settings, capfd: Captured) -> None:
    delivered(settings)
    code, told = answer(capfd, 'backfill', *DAY)
    assert code == 3
    assert told['errors'] == []
    (days,) = told['ranges']
    assert (days['start'], days['end'], list(days['not_understood'])) == (
        '2025-10-01',
        '2025-10-01',
        ['gam_delivery/notes.txt'],
    )
    ads = next(load for load in days['loads'] if load['source'] == 'gam_delivery')
    # 3 rows: one new, one with its key and other numbers, one that is no number; 1 + 2 USD of them could be read
    assert (ads['rows']['read'], ads['rows']['new'], ads['rows']['conflicting'], ads['rows']['rejected']) == (3, 1, 1, 1)
    assert (ads['money_read'], ads['missing'], ads['left_out']) == ('3', [], {})
    assert len(ads['needs_a_look']) == 2


def test_backfill_tells_of_a_missing_day_and_ends_with_0_where_none_is(settings: Settings, capfd: Captured) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad())
    ads = ('--pipeline', 'ads_revenue')
    code, told = answer(capfd, 'backfill', *DAY, *ads)
    assert (code, told['ranges'][0]['loads'][0]['missing']) == (0, [])
    code, told = answer(capfd, 'backfill', '--start', '2025-10-02', *ads)
    assert (code, told['ranges'][0]['loads'][0]['missing']) == (3, ['2025-10-02'])
    assert answer(capfd, 'backfill', '--missing', *DAY, *ads) == (0, {'ranges': [], 'errors': []})


def test_verify_gives_the_same_names_whether_or_not_anything_differs(
    settings: Settings, capfd: Captured, query: Query
) -> None:
    code, nothing = answer(capfd, 'verify')
    assert (code, nothing['loaded']) == (0, False)
    delivered(settings)
    main(['backfill', *DAY, '--quiet'])
    code, good = answer(capfd, 'verify')
    assert (code, good['loaded'], good['count'], good['differences']) == (0, True, 0, [])
    query('update gold.gam_daily_summary set clicks = clicks + 1')
    code, bad = answer(capfd, 'verify')
    assert (code, bad['count'], bad['in_gold'], len(bad['differences'])) == (1, 1, 1, 1)
    assert nothing.keys() == good.keys() == bad.keys()


def test_rejects_and_conflicts_list_what_waits_and_say_what_was_accepted(settings: Settings, capfd: Captured) -> None:
    delivered(settings)
    main(['backfill', *DAY, '--quiet'])
    code, rejects = answer(capfd, 'rejects')
    assert code == 3
    (reject,) = rejects['waiting']
    assert {name: reject[name] for name in ('source', 'file', 'line', 'column', 'value')} == {
        'source': 'gam_delivery',
        'file': 'gam_delivery/gam_delivery_20251001.csv',
        'line': 4,
        'column': 'revenue_usd',
        'value': 'n/a',
    }
    code, conflicts = answer(capfd, 'conflicts')
    assert code == 3
    assert conflicts['waiting'][0]['differences'] == {'revenue_usd': {'says': '2', 'counts': '1'}}
    assert answer(capfd, 'rejects', '--accept', 'known', '--by', 'Ana') == (
        0,
        {'accepted': 1, 'resolved': 0, 'new': 0, 'waiting': []},
    )
    assert answer(capfd, 'conflicts', '--accept', 'known', '--by', 'Ana') == (0, {'accepted': 1, 'waiting': []})
    assert answer(capfd, 'rejects', '--retry')[1]['waiting'] == []


def test_every_name_of_an_answer_is_in_the_document_that_promises_it(settings: Settings, capfd: Captured) -> None:
    delivered(settings)
    promised = dict(
        re.findall(r'^\| `(\w+)` \| (.*) \|$', (REPOSITORY / 'docs' / 'json.md').read_text('utf-8'), re.MULTILINE)
    )
    given = {'backfill': DAY}
    for command, text in {'backfill': promised.pop('backfill'), **promised}.items():
        _, told = answer(capfd, command, *given.get(command, ()))
        assert set(told) <= set(re.findall(r'`(\w+)`', text)), command


@pytest.mark.parametrize('command', ['backfill', 'rejects', 'show'])
def test_a_wrong_option_is_answered_with_the_help_of_its_command(command: str, capfd: Captured) -> None:
    assert main([command, '--jsn']) == 2
    told = capfd.readouterr()
    assert told.out == ''
    assert told.err.startswith(f'usage: python -m kly_mage {command} ')
    assert '--start D' in told.err
    assert told.err.endswith('\nerror: unrecognized arguments: --jsn\n')
