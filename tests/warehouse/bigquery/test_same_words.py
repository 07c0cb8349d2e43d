"""The same commands in the same states: the same words, files and exit codes on both warehouses.

A play is a list of states, each with what is delivered and the commands that are run then. It is played on PostgreSQL and on
BigQuery's stand-in, over equal landing zones; what each command has printed, written and ended with is compared, but for
``MEANT``.
"""

import argparse
import difflib
import io
import json
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kly_mage.cli.main import COMMANDS, main, parser
from kly_mage.common.settings import Settings
from tests import conftest as of_postgres
from tests.clock import lasting_day
from tests.delivery import ad, article, deliver, event
from tests.gold import Query
from tests.warehouse.both import only_googlesql  # noqa: F401 -- a fixture

# What differs because it has to: how it is told on both sides alike, and why.
MEANT: list[tuple[str, str, str]] = [
    (r'\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?(\+00:00| UTC)?', 'THEN', 'the clock'),
    (r'(done in )\d+\.\d s', r'\1no time', 'the clock'),
    (r'(?m)^.*: +\d+%, .* left( \(.*\))?\n', '', 'a step is told while it lasts, and the stand-in takes its time'),
    (r'(?ms)^the last 7 days, at 6\.25 USD per TiB\n.*?\n\n', '', 'only BigQuery bills what is read'),
    (r'"costs": \[.*?\]', '"costs": []', 'only BigQuery bills what is read'),
    (r'(?m)^  BigQuery itself keeps what was deleted .*\n', '', 'PostgreSQL keeps nothing'),
    (
        r', "?gold\.(gam_daily_ads|gam_monthly_ads|monthly_summary|daily_totals)"?:? \d+',
        '',
        'sums kept for pages; BigQuery adds up rows',
    ),
]
# Commands and options that are not played, and why.
ELSEWHERE = {
    'fetch': 'brings tables of BigQuery as files, whichever warehouse it is: tests/fetch',
    'check-bigquery': 'is about BigQuery alone: tests/warehouse/bigquery/test_check.py',
    'editor': 'is a server, until Ctrl-C: tests/mage, tests/warehouse/bigquery/test_mage.py',
    'dashboard': 'is a server, until Ctrl-C: tests/dashboard',
    **dict.fromkeys(('env', 'migrate', 'pack', 'psql', 'stop'), "is about PostgreSQL's server: test_refusals.py"),
    **dict.fromkeys(('new-source', 'completion'), 'asks no warehouse: tests/cli'),
    '--help': 'asks no warehouse: tests/cli',
    '--debug': 'tells every step, which are others',
    'backfill --via-mage': "asks Mage's server: tests/warehouse/bigquery/test_mage.py, tests/mage",
    'backfill --workers': 'is for PostgreSQL, and says so: tests/warehouse/bigquery/test_refusals.py',
}
DAYS = '--start 2025-10-01 --end 2025-10-03'


@dataclass
class State:
    """What is delivered, and the commands that are run then, a line each: ``seldom`` those of the long play alone."""

    name: str
    often: str
    seldom: str
    deliver: Callable[[Settings], None] = lambda settings: None

    def commands(self, *, whole: bool) -> list[str]:
        lines = f'{self.often}\n{self.seldom if whole else ""}'.split('\n')
        return [line.strip().replace('{days}', DAYS) for line in lines if line.strip()]


def three_days(settings: Settings) -> None:
    """Equal rows, rejects, conflicts, an article that nobody knows, and no file of ads for the second day."""
    deliver(settings, 'cms_articles_20251001.csv', article('7'), article('8', 'Eight', 'never'), article('9', 'Nïne'))
    events = [event('u1'), event('u1', session='2'), event('u2', content=''), event('u1'), event('u3', content='unknown')]
    deliver(settings, 'ga4_events_20251001.csv', *events, 'not a time,page_view,u1,1,7')
    deliver(settings, 'ga4_events_20251002.csv', event('u1', name='user_engagement'), event('u3', day='2025-10-02'))
    deliver(settings, 'ga4_events_20251003.csv', event('u4', day='2025-10-03', content='8'), event('u4', day='2025-08-01'))
    deliver(settings, 'gam_delivery_20251001.csv', ad('top', '1.25'), ad('side', '-2.5'), ad('side', 'x'), ad('top', '2'))
    deliver(settings, 'gam_delivery_20251003.csv', ad('top', '0.000000000001', day='2025-10-03'), ad('top', '3'))


def late(settings: Settings) -> None:
    """A late row of each source, an article that was edited, the missing day, and a file whose header is wrong."""
    deliver(settings, 'cms_articles_20251004.csv', article('7', 'Edited'))
    deliver(settings, 'ga4_events_20251004.csv', event('u9'), event('u9', day='2025-10-04'))
    deliver(settings, 'gam_delivery_20251002.csv', ad('top', '4', day='2025-10-02'))
    deliver(settings, 'gam_delivery_20251004.csv', ad('late', '5'), header='served_at,ad_unit')


def changed(settings: Settings) -> None:
    """A loaded file has other rows, others are gone."""
    (settings.data_dir / 'gam_delivery/gam_delivery_20251004.csv').unlink()
    (settings.data_dir / 'ga4_events/ga4_events_20251004.csv').unlink()
    deliver(settings, 'gam_delivery_20251001.csv', ad('top', '1.25'), ad('side', '-2.5'), ad('side', '7'))


def corrected(settings: Settings) -> None:
    """The day is delivered whole, and again: an event has another article, one is gone, one has come."""
    header = 'event_timestamp,event_name,user_pseudo_id,session_id,content_id,batch_event_index'
    for path in (settings.data_dir / 'ga4_events').iterdir():
        path.unlink()
    first, second = ((1, '7'), (2, '7'), (3, '8')), ((1, '7'), (3, '9'), (4, '9'))
    for name, rows in (('events_intraday_20251005.csv', first), ('events_20251005.csv', second)):
        lines = [f'2025-10-05T12:00:{n:02}+07:00,page_view,u1,s1,{content},{n}' for n, content in rows]
        (settings.data_dir / 'ga4_events' / name).write_text('\n'.join([header, *lines, '']), 'utf-8')


PLAY = [
    State(
        'nothing is there',
        """
        verify
        show
        export {out}/gold.csv
        """,
        """
        status
        status --json
        verify --json
        reconcile
        reconcile --csv
        repair
        show --json
        rejects
        rejects --json
        rejects --retry
        conflicts --json
        rebuild
        backfill --missing
        backfill --daily --dry-run
        backfill --last 2 --dry-run
        backfill {days} --dry-run
        backfill {days}
        status
        unload --source gam_delivery
        unload --load 999
        unload --file no.csv
        forget --user u1
        """,
    ),
    State(
        'three days are loaded',
        """
        backfill {days} --details
        status --json
        show {days} --by article --sort pageviews --limit 2
        show {days} --csv
        show --day 2025-10-01 --by site
        show --article nobody
        show --sort nonsense
        show --by nothing
        rejects
        rejects --json
        rejects {days} --limit 1
        conflicts
        conflicts --json
        export {out}/gold.csv
        export {out}/gold.csv
        unload
        """,
        """
        inspect gam_delivery/gam_delivery_20251001.csv
        inspect --mapping --source gam_delivery gam_delivery/gam_delivery_20251001.csv
        status
        status {days} --source gam_delivery
        status --start 2025-10-03 --end 2025-10-01
        verify
        verify --json
        reconcile
        reconcile --json
        reconcile --csv --last 7
        reconcile {days} --days --details --quiet
        reconcile --html {out}/page.html --source ga4_events --start 2025-10-01
        repair --source gam_delivery
        show
        show {days} --json
        show {days} --article 7
        show --from 2025-10-02 --to 2025-10-02
        show --table ga4_daily_summary --json
        show --last 3
        rejects --source ga4_events
        rejects --last 3
        conflicts --source ga4_events
        conflicts {days} --limit 1
        conflicts --last 2
        export {out}/gold.csv --force {days}
        export {out}/gold.parquet --table gam_daily_summary
        export {out}/gold.txt
        export {out}/no.csv --last 2
        backfill {days} --reread --json
        """,
        three_days,
    ),
    State(
        'late rows have come',
        '',
        """
        backfill --start 2025-10-01 --end 2025-10-04 --reread
        status
        status --last 3
        rejects
        conflicts
        reconcile
        show --by day
        backfill {days} --pipeline ads_revenue --reread --quiet
        verify
        """,
        late,
    ),
    State(
        'a file has changed',
        '',
        """
        status
        backfill {days} --reread
        rejects --retry
        repair {days} --quiet
        repair --last 2
        status
        rejects --accept known --by Ani
        rejects --accept known --by Ani --json
        conflicts --accept known --by Ani
        conflicts --accept ' '
        status --accept known --by Ani --source ga4_events {days}
        verify
        reconcile
        """,
        changed,
    ),
    State(
        'a person is forgotten',
        '',
        """
        forget --user u1 --dry-run
        forget --user u1 --source ga4_events --by Ani
        backfill {days} --reread
        show {days} --csv
        reconcile
        """,
    ),
    State(
        'a whole day is delivered again',
        '',
        """
        backfill --start 2025-10-05 --end 2025-10-05
        status
        show --day 2025-10-05 --csv
        verify
        reconcile
        """,
        corrected,
    ),
    State(
        'loads are taken out',
        '',
        """
        unload --load 999
        unload --load {load} --dry-run
        unload --load {load}
        unload --load {load}
        status
        unload --file gam_delivery/gam_delivery_20251003.csv
        unload --start 2025-10-03 --end 2025-10-05
        unload --last 2
        unload --source cms_articles
        reconcile
        rebuild
        verify
        show
        """,
    ),
]


@dataclass
class Said:
    """What a command has done: its exit code, its output and errors, and the file it has written."""

    state: str
    command: str
    code: int
    out: str
    err: str
    file: str


def played(settings: Settings, query: Query, out: Path, *, whole: bool) -> list[Said]:
    """Play it in one warehouse."""
    out.mkdir()
    said = []
    for state in PLAY:
        state.deliver(settings)
        for command in state.commands(whole=whole):
            ((first,),) = (
                query('select coalesce(min(load_id), 0) from ops.loads where rows_new > 0')
                if '{load}' in command
                else [(0,)]
            )
            given = command.format(out=out, load=first)
            written, complained = io.StringIO(), io.StringIO()
            with redirect_stdout(written), redirect_stderr(complained):
                code = main(shlex.split(given))
            said.append(Said(state.name, command, code, written.getvalue(), complained.getvalue(), _file(given)))
    ids = {load: str(n) for n, (load,) in enumerate(query('select load_id from ops.loads order by load_id'))}
    for each in said:
        for name in ('out', 'err', 'file'):
            setattr(each, name, alike(getattr(each, name), [settings.data_dir, out], ids))
    return said


def alike(text: str, folders: list[Path], ids: dict[int, str]) -> str:
    """What was said, without what may differ. Loads, which both warehouses number in their own way, by their order."""
    for place in folders:
        text = text.replace(str(place), place.name)
    text = re.sub(r'(load |load_id": )(\d+)', lambda found: found[1] + ids.get(int(found[2]), found[2]), text)
    for pattern, becomes, _ in MEANT:
        text = re.sub(pattern, becomes, text)
    with_order = text.startswith('{') and json.loads(text)  # the order of names in an object says nothing
    return json.dumps(with_order, indent=1, sort_keys=True) if with_order else text


def _file(command: str) -> str:
    """What stands in the file that a command has written, if it has."""
    for word in command.split():
        path = Path(word)
        if path.is_absolute() and path.is_file():
            return str(pl.read_parquet(path).rows()) if path.suffix == '.parquet' else path.read_text('utf-8')
    return ''


@pytest.mark.one_version
@pytest.mark.parametrize('whole', [False, pytest.param(True, marks=pytest.mark.slow)], ids=['often', 'whole'])
def test_a_command_says_the_same_on_both_warehouses(
    whole: bool, settings: Settings, query: Query, postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('COLUMNS', '80')
    lasting_day(15 if whole else 5)  # both are told of the same today
    here = played(settings, query, tmp_path / 'out', whole=whole)
    (tmp_path / 'there').mkdir()
    with (
        monkeypatch.context() as patched,
        of_postgres.on_postgres(postgres, tmp_path / 'there', patched) as of_there,
    ):
        patched.setenv('KLY_WAREHOUSE', 'postgres')
        there = played(of_there, lambda text: of_postgres.ask(of_there, text), tmp_path / 'there/out', whole=whole)
    differences = [line for one, other in zip(there, here, strict=True) for line in _differences(one, other)]
    assert not differences, '\n'.join(differences)


def _differences(one: Said, other: Said) -> Iterator[str]:
    found = [*difflib.unified_diff(_lines(one), _lines(other), 'postgres', 'bigquery', n=0, lineterm='')]
    if found:
        yield f'{one.state}: {one.command}'
        yield from found[2:]


def _lines(said: Said) -> list[str]:
    parts = {'output': said.out, 'errors': said.err, 'file': said.file}
    return [f'ends with {said.code}', *(f'{name}: {line}' for name, part in parts.items() for line in part.split('\n'))]


def test_each_command_and_option_is_played_or_named_with_the_reason() -> None:
    words = [shlex.split(command) for state in PLAY for command in state.commands(whole=True)]
    given = {name: {word for verb, *rest in words if verb == name for word in rest} for name in COMMANDS}
    lacking = COMMANDS.keys() - {verb for verb, *_ in words} - ELSEWHERE.keys()
    for name in {verb for verb, *_ in words}:
        for action in _actions(name):
            named = {*action.option_strings, *(f'{name} {option}' for option in action.option_strings)}
            if action.option_strings and not named & (given[name] | ELSEWHERE.keys()):
                lacking.add(f'{name} {action.option_strings[-1]}')
    assert lacking == set()
    options = {f'{name} {option}' for name in COMMANDS for each in _actions(name) for option in each.option_strings}
    assert ELSEWHERE.keys() <= {*COMMANDS, *options, *(option.split()[-1] for option in options)}


def _actions(name: str) -> list[Any]:
    commands = next(each for each in parser([name])._actions if isinstance(each, argparse._SubParsersAction))
    return list(commands.choices[name]._actions)
