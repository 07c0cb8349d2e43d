"""Each command that a message, a page or a comment of SQL names is one: its verb, its options, its target of make.

And it helps: it is run as it was printed, in the situation that prints it, and what was wrong is right afterwards.
"""

import argparse
import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from kly_mage.__main__ import main
from kly_mage.checks.status import STATES, Day
from kly_mage.cli.main import COMMANDS, parser
from kly_mage.cli.status import remedy
from kly_mage.common.settings import REPOSITORY, Settings
from kly_mage.declared import SOURCES
from tests.delivery import ad, ads, article, deliver
from tests.gold import Query
from tests.remedies import do, obey, printed

Captured = pytest.CaptureFixture[str]

_SAID = re.compile(
    r'python -m kly_mage ([a-z][a-z-]*)((?: +(?!--)[^\s;,:`\'"]+){0,2}(?: +--[a-z-]+(?:[ =](?!--)[^\s;,]+)?)*)'
)
_MADE = re.compile(r'`make ([a-z-]+)')


def texts(path: Path) -> Iterator[str]:
    """The texts of a module, what is put into them as ``X``; or a file as it is."""
    if path.suffix != '.py':
        yield path.read_text('utf-8')
        return
    tree = ast.parse(path.read_text('utf-8'))
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield ''.join(part.value if isinstance(part, ast.Constant) else 'X' for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


def said() -> Iterator[tuple[str, str, set[str]]]:
    """Each command that is named: where, its verb, its options."""
    for path in (REPOSITORY / 'kly_mage').rglob('*'):
        if path.suffix in ('.py', '.sql', '.html', '.template'):
            for text in texts(path):
                for verb, rest in _SAID.findall(text):
                    yield str(path.relative_to(REPOSITORY / 'kly_mage')), verb, set(re.findall(r'--[a-z-]+', rest))


PLACES, SAID = set[tuple[str, str]](), dict[str, set[str]]()
for place, verb, options in said():
    PLACES.add((place, verb))
    SAID.setdefault(verb, set()).update(options)


@pytest.mark.parametrize('verb', sorted(SAID))
def test_a_command_that_is_named_is_one_with_these_options(verb: str) -> None:
    assert verb in COMMANDS
    (action,) = (found for found in parser([verb])._actions if isinstance(found, argparse._SubParsersAction))
    known = {option for each in action.choices[verb]._actions for option in each.option_strings}
    assert known >= SAID[verb]


def test_remedies_are_found_and_targets_of_make_are_there() -> None:
    assert SAID['rejects'] >= {'--source'}
    assert SAID['status'] >= {'--accept', '--source'}
    assert SAID['backfill'] >= {'--start', '--end'}
    made = {name for path in (REPOSITORY / 'kly_mage').rglob('*.py') for text in texts(path) for name in _MADE.findall(text)}
    targets = set(re.findall(r'^([a-z-]+):', (REPOSITORY / 'Makefile').read_text('utf-8'), re.MULTILINE))
    assert {'editor', 'install'} <= made <= targets


# --- before anything is loaded ----------------------------------------------------------------------------------------


@pytest.mark.parametrize('command', [['show'], ['export', 'gold.csv']])
def test_whoever_asks_before_the_first_load_is_told_the_command_that_loads(
    settings: Settings, capfd: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    deliver(settings, 'gam_delivery_20251001.csv', ad())
    deliver(settings, 'ga4_events_20251001.csv')
    deliver(settings, 'cms_articles.csv', article('7'))
    assert main(command) == 1
    assert obey(capfd.readouterr().err) == 3  # there is no event
    assert main(command) == 0


def test_where_no_name_says_which_days_there_are_they_are_asked_for(settings: Settings, capfd: Captured) -> None:
    deliver(settings, 'gam_delivery.csv', ad())
    assert main(['show']) == 1
    assert obey(capfd.readouterr().err) == 2
    assert 'which days? pass --start and --end; python -m kly_mage inspect FILE says' in capfd.readouterr().err


# --- what status says of a day ----------------------------------------------------------------------------------------

TWO_DAYS = ('--start', '2025-10-01', '--end', '2025-10-02')
FIRST, SECOND = 'gam_delivery_20251001.csv', 'gam_delivery_20251002.csv'


def days(settings: Settings, *, load: int = 2) -> None:
    """Two days of ads, of which so many are loaded."""
    deliver(settings, FIRST, ad('a'), ad('b'))
    deliver(settings, SECOND, ad('a', day='2025-10-02'))
    for day in range(1, load + 1):
        assert ads(f'2025-10-0{day}') == 0


def late(settings: Settings, query: Query) -> None:
    days(settings)
    deliver(settings, SECOND, ad('a', day='2025-10-02'), ad('late'))


def not_loaded(settings: Settings, query: Query) -> None:
    days(settings, load=1)


def never_finished(settings: Settings, query: Query) -> None:
    days(settings, load=1)
    query(
        'insert into ops.loads (source, start_day, end_day, started_by)'
        " values ('gam_delivery', '2025-10-02', '2025-10-02', 't')"
    )


def failed(settings: Settings, query: Query) -> None:
    days(settings, load=1)
    deliver(settings, SECOND, b'\xff')
    assert ads('2025-10-02') == 1


def missing_file(settings: Settings, query: Query) -> None:
    deliver(settings, FIRST, ad('a'), ad('b'))
    assert ads('2025-10-01', '2025-10-02') == 3
    deliver(settings, 'gam_delivery_20251003.csv', ad('late', day='2025-10-02'), ad('a', day='2025-10-03'))
    assert ads('2025-10-03') == 0


def file_changed(settings: Settings, query: Query) -> None:
    days(settings)
    deliver(settings, FIRST, ad('a'))
    assert ads() == 3


def rows_outside(settings: Settings, query: Query) -> None:
    days(settings, load=1)
    deliver(settings, SECOND, ad('a', day='2025-10-02'), ad('early', day='2025-10-04'))
    assert ads('2025-10-02') == 3


def all_rejected(settings: Settings, query: Query) -> None:
    days(settings, load=1)
    deliver(settings, SECOND, ad('a', 'x', day='2025-10-02'))
    assert ads('2025-10-02') == 3


def empty_file(settings: Settings, query: Query) -> None:
    days(settings, load=1)
    deliver(settings, SECOND)
    assert ads('2025-10-02') == 3


def incomplete(settings: Settings, query: Query) -> None:
    days(settings, load=1)
    deliver(settings, SECOND, header='served_at')
    assert ads('2025-10-01', '2025-10-02') == 3


def by_hand(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the remedies ask for before their command: the file as it should be, and days it may hold."""
    deliver(settings, SECOND, ad('a', day='2025-10-02'))


def say_which_days(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    wider = replace(SOURCES['gam_delivery'], early_days=2)
    monkeypatch.setitem(SOURCES, 'gam_delivery', wider)


TROUBLES: dict[str, tuple[Callable[[Settings, Query], None], Callable[[Settings, pytest.MonkeyPatch], None] | None]] = {
    'late': (late, None),
    'not loaded': (not_loaded, None),
    'never finished': (never_finished, None),
    'failed': (failed, by_hand),
    'missing file': (missing_file, by_hand),
    'file changed': (file_changed, None),
    'rows outside': (rows_outside, say_which_days),
    'all rejected': (all_rejected, by_hand),
    'empty file': (empty_file, by_hand),
    'incomplete': (incomplete, by_hand),
}


def test_each_state_with_a_remedy_has_its_trouble_here() -> None:
    day = [Day(date(2025, 10, 1), 'any')]
    assert {state for state in STATES if remedy('gam_delivery', state, day)} == set(TROUBLES)


@pytest.mark.parametrize('state', TROUBLES)
def test_what_status_says_to_do_about_a_day_makes_it_a_loaded_one(
    settings: Settings, query: Query, capfd: Captured, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    makes, before = TROUBLES[state]
    makes(settings, query)
    capfd.readouterr()
    main(['status', '--source', 'gam_delivery'])
    told = capfd.readouterr().out
    assert f': {state}, {STATES[state][1]}' in told
    if before:
        before(settings, monkeypatch)
    verb = 'repair' if state == 'file changed' else 'backfill'
    first = next(each for each in printed(told[told.index(f': {state}, ') :]) if each.startswith(verb))
    assert do(first) in (0, 3)  # of the other sources there is no file
    capfd.readouterr()
    main(['status', '--source', 'gam_delivery', *TWO_DAYS])
    told = capfd.readouterr().out
    assert f': {state}, ' not in told
    if more := [
        each for each in printed(told) if each.startswith('backfill')
    ]:  # the file may hold late rows of the day before
        assert do(*more) in (0, 3)
    capfd.readouterr()
    assert main(['status', '--source', 'gam_delivery', *TWO_DAYS]) == 0
    assert '  2025-10  ##' in capfd.readouterr().out
    assert main(['verify']) == 0


# --- what waits for somebody ------------------------------------------------------------------------------------------


def said_by(capfd: Captured, *command: str) -> str:
    """All that a command prints."""
    capfd.readouterr()
    main([*command])
    told = capfd.readouterr()
    return told.out + told.err


ONE_DAY = ('backfill', '--start', '2025-10-01', '--end', '2025-10-01', '--pipeline', 'ads_revenue')
WHO_TELLS = (ONE_DAY, (*ONE_DAY, '--json'), ('status',), ('reconcile', '--source', 'gam_delivery'))


def test_whoever_names_rejects_names_what_lists_them_and_then_what_loads_those_that_are_repaired(
    settings: Settings, query: Query, capfd: Captured
) -> None:
    deliver(settings, FIRST, ad('a'), ad('b', 'x'))
    for command in WHO_TELLS:
        told = said_by(capfd, *command)
        assert obey(told, 'rejects') == 3, command
        assert "revenue_usd 'x'" in ' '.join(capfd.readouterr().out.split()), command
    deliver(settings, FIRST, ad('a'), ad('b', '2'))
    load, accept = printed(said_by(capfd, 'rejects', '--source', 'gam_delivery', '--start', '2025-10-01'))
    assert accept == "rejects --source gam_delivery --start 2025-10-01 --end 2025-10-01 --accept 'WHY'"
    assert load in printed(said_by(capfd, *WHO_TELLS[-1]))  # which has seen that the file is repaired
    assert do(load) == 0
    assert query('select sum(revenue_usd) from gold.gam_daily_summary') == [(3,)]
    for command in WHO_TELLS:
        assert not [each for each in printed(said_by(capfd, *command)) if each.startswith('rejects')], command


def test_whoever_names_conflicts_names_what_lists_them(settings: Settings, capfd: Captured) -> None:
    deliver(settings, FIRST, ad('a', '1'))
    deliver(settings, SECOND, ad('a', '2'))
    for command in WHO_TELLS:
        assert ads('2025-10-01', '2025-10-02', '--quiet') == 3
        told = said_by(capfd, *command)
        assert obey(told, 'conflicts') == 3, command
        assert 'revenue_usd 2.00 1.00' in ' '.join(capfd.readouterr().out.split()), command
    accept = "conflicts --source gam_delivery --start 2025-10-01 --end 2025-10-01 --accept 'WHY'"
    assert printed(said_by(capfd, *accept.split()[:-2])) == [accept]
    assert do(accept) == 0
    for command in WHO_TELLS:
        assert not [each for each in printed(said_by(capfd, *command)) if each.startswith('conflicts')], command


def test_what_a_load_in_mage_says_to_do_about_a_changed_file_does_it(
    settings: Settings, query: Query, capfd: Captured
) -> None:
    file_changed(settings, query)
    capfd.readouterr()
    assert main([*ONE_DAY, '--json', '--quiet']) == 3
    assert obey(capfd.readouterr().out, 'repair') in (0, 3)
    assert query('select count(*) from bronze.gam_delivery') == [(2,)]  # a of both days
    assert not printed(said_by(capfd, *ONE_DAY, '--json'))


def test_what_verify_says_to_do_about_rows_changed_by_hand_does_it(
    settings: Settings, query: Query, capfd: Captured
) -> None:
    days(settings)
    query('update bronze.gam_delivery set revenue_usd = 9')
    assert obey(said_by(capfd, 'verify'), 'repair') in (0, 3)
    assert main(['verify']) == 0
    assert query('select sum(revenue_usd) from gold.gam_daily_summary') == [(3,)]


def test_who_takes_out_a_load_that_is_none_is_told_where_their_numbers_are(settings: Settings, capfd: Captured) -> None:
    days(settings)
    assert obey(said_by(capfd, 'unload', '--load', '99')) in (0, 3)
    (number,) = re.findall(r'gam_delivery\n +last load (\d+)', capfd.readouterr().out)
    assert main(['unload', '--load', number]) == 0


# --- where each is run ------------------------------------------------------------------------------------------------

_HERE = 'tests/cli/test_remedies.py::test_'
_REJECTS = f'{_HERE}whoever_names_rejects_names_what_lists_them_and_then_what_loads_those_that_are_repaired'
_CONFLICTS = f'{_HERE}whoever_names_conflicts_names_what_lists_them'
_OF_A_DAY = f'{_HERE}what_status_says_to_do_about_a_day_makes_it_a_loaded_one'
_ACCOUNT = 'tests/checks/reconciliation/test_check.py::test_'
_WALK = 'tests/walk/test_new_user.py::test_files_of_ones_own_load_and_the_printed_remedies_repair_a_broken_one'
# The module that prints a command, its verb, and the test that runs it as it was printed.
RUN = {
    ('checks/reconciliation/findings.py', 'backfill'): f'{_ACCOUNT}a_day_never_loaded_is_named_and_loaded',
    ('checks/reconciliation/findings.py', 'conflicts'): _CONFLICTS,
    ('checks/reconciliation/findings.py', 'rebuild'): f'{_ACCOUNT}what_was_changed_by_hand_is_named_in_one_line_and_mended',
    ('checks/reconciliation/findings.py', 'reconcile'): f'{_ACCOUNT}a_deleted_file_is_named_and_its_rows_are_left_alone',
    ('checks/reconciliation/findings.py', 'rejects'): _REJECTS,
    ('checks/reconciliation/findings.py', 'repair'): f'{_ACCOUNT}a_row_that_its_file_no_longer_has_is_named_and_taken_out',
    ('cli/arguments.py', 'status'): (
        'tests/loads/test_volume.py::test_what_a_load_says_to_do_about_a_day_that_is_right_makes_it_right'
    ),
    ('cli/backfill.py', 'conflicts'): _CONFLICTS,
    ('cli/backfill.py', 'rejects'): _REJECTS,
    ('cli/backfill.py', 'repair'): (
        'tests/loads/test_changed_files.py::'
        'test_a_changed_file_is_named_by_the_next_load_and_by_status_and_repair_alone_makes_gold_what_it_says'
    ),
    ('cli/conflicts.py', 'conflicts'): _CONFLICTS,
    ('cli/rejects.py', 'rejects'): _REJECTS,
    ('cli/status.py', 'conflicts'): _CONFLICTS,
    ('cli/status.py', 'rejects'): _REJECTS,
    ('cli/verify.py', 'rebuild'): (
        'tests/checks/test_verify.py::test_a_stored_daily_summary_that_is_not_its_definition_is_named'
    ),
    ('cli/verify.py', 'repair'): f'{_HERE}what_verify_says_to_do_about_rows_changed_by_hand_does_it',
    ('common/errors.py', 'backfill'): f'{_HERE}whoever_asks_before_the_first_load_is_told_the_command_that_loads',
    ('dashboard/pages/health.py', 'reconcile'): (
        'tests/dashboard/test_pages.py::test_ads_and_health_say_what_the_ledger_says'
    ),
    ('landing/columns.py', 'inspect'): _WALK,
    ('loads/summary.py', 'conflicts'): _CONFLICTS,
    ('loads/summary.py', 'rejects'): _REJECTS,
    ('loads/summary.py', 'repair'): f'{_HERE}what_a_load_in_mage_says_to_do_about_a_changed_file_does_it',
    ('warehouse/bigquery/fixed.py', 'status'): (
        'tests/dashboard/test_on_bigquery.py::test_tables_of_another_version_are_made_by_the_command_that_is_named'
    ),
    ('warehouse/postgres/agreed.py', 'unload'): (
        'tests/loads/test_ga4_export.py::test_another_list_of_articles_is_refused_until_the_events_are_taken_out'
    ),
    ('warehouse/postgres/declarations.py', 'migrate'): (
        'tests/warehouse/postgres/test_redeclare.py::'
        'test_a_load_under_another_rule_is_refused_with_the_command_that_hashes_again'
    ),
    ('warehouse/postgres/partitions.py', 'pack'): (
        'tests/warehouse/postgres/test_partitions.py::'
        'test_a_server_whose_room_for_locks_is_nearly_used_up_is_told_at_the_first_load_of_a_day'
    ),
    ('warehouse/postgres/retype.py', 'repair'): (
        'tests/warehouse/postgres/test_redeclare.py::test_a_column_that_cannot_be_cast_names_the_rows'
    ),
    ('warehouse/rules.py', 'status'): (
        'tests/loads/test_volume.py::test_a_day_that_its_volume_stopped_loads_once_it_is_accepted'
    ),
    ('warehouse/postgres/watch.py', 'psql'): (
        'tests/warehouse/postgres/test_watch.py::test_a_run_behind_a_stopped_loader_says_for_whom_it_waits_and_gives_up'
    ),
    ('warehouse/unloading.py', 'unload'): (
        'tests/loads/test_deliveries.py::test_unload_of_a_load_that_corrected_lets_the_delivery_before_count'
    ),
    ('warehouse/unloading.py', 'status'): f'{_HERE}who_takes_out_a_load_that_is_none_is_told_where_their_numbers_are',
}
# Named where no command can be run as it stands, or where running it is no remedy: it says more.
NAMED = {
    ('checks/reconciliation/findings.py', 'verify'),
    ('cli/backfill.py', 'inspect'),
    ('dashboard/pages/proof.py', 'verify'),
    ('declared/__init__.py', 'new-source'),
    ('mage/editor.py', 'editor'),
    ('mage/editor.py', 'stop'),  # the end of each of the editor's own tests
}


def test_each_command_that_is_printed_is_run_by_a_test_as_it_was_printed() -> None:
    assert {*RUN, *NAMED} == PLACES
    for place, test in RUN.items():
        path, _, name = test.partition('::')
        tree = ast.parse((REPOSITORY / path).read_text('utf-8'))
        (function,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
        called = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
        assert called & {'obey', 'printed'}, place
