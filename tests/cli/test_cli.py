"""The command line: what it takes, what it prints, and how it ends. 0 done, 1 failed, 2 wrong use, 3 needs a look."""

import subprocess
import tomllib
from pathlib import Path

import pytest

from kly_mage import __version__
from kly_mage.__main__ import main
from kly_mage.cli.main import COMMANDS
from kly_mage.common.settings import REPOSITORY, Settings
from tests.delivery import ad, ads, article, backfill, deliver, event
from tests.gold import Query

Captured = pytest.CaptureFixture[str]


def three_days(settings: Settings) -> None:
    """A file of every source for 1 to 3 October."""
    for day in ('2025-10-01', '2025-10-02', '2025-10-03'):
        name = day.replace('-', '')
        deliver(settings, f'ga4_events_{name}.csv', event(day=day), event(name='scroll', day=day))
        deliver(settings, f'gam_delivery_{name}.csv.gz', ad(day=day))
        deliver(settings, f'cms_articles_{name}.csv', article(day, published=day))


# --- wrong use --------------------------------------------------------------------------------------------------------

WRONG = {
    'no command': ([], 'required: COMMAND'),
    'a command that is none': (['load'], "invalid choice: 'load'"),
    'an option that is none': (['backfill', '--strat', '2025-10-01'], 'unrecognized arguments: --strat'),
    'no day': (['backfill'], 'which days? pass --start and --end, both included'),
    'a day that is none': (['backfill', '--start', '2025-02-30'], "'2025-02-30' is not a day such as 2025-10-01"),
    'a day in another spelling': (['backfill', '--start', '01.10.2025'], "'01.10.2025' is not a day"),
    'the end before the start': (
        ['backfill', '--start', '2025-10-02', '--end', '2025-10-01'],
        'before they start',
    ),
    'a pipeline that is none': (
        ['backfill', '--start', '2025-10-01', '--pipeline', 'ads'],
        "no pipeline 'ads': there are ads_revenue, articles_performance",
    ),
    'a source that is none': (
        ['reconcile', '--source', '../gam'],
        "no source '../gam': there are cms_articles, ga4_events, gam_delivery",
    ),
}


@pytest.mark.parametrize(('arguments', 'message'), WRONG.values(), ids=WRONG)
def test_wrong_use_ends_with_2_and_says_what_would_be_right(arguments: list[str], message: str, capfd: Captured) -> None:
    assert main(arguments) == 2
    written = capfd.readouterr()
    assert message in written.err
    assert written.out == ''
    assert 'Traceback' not in written.err


@pytest.mark.parametrize(
    ('name', 'value'),
    [('KLY_TIMEZONE', 'Jakarta'), ('KLY_TIMEZONE', '../../etc/passwd'), ('KLY_LATE_DAYS', '-1'), ('POSTGRES_PORT', 'five')],
)
def test_a_variable_that_cannot_be_meant_is_wrong_use(
    monkeypatch: pytest.MonkeyPatch, capfd: Captured, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert main(['backfill', '--start', '2025-10-01']) == 2
    assert capfd.readouterr().err.startswith(f'error: {name}={value!r} is no')


# --- help -------------------------------------------------------------------------------------------------------------


def test_help_names_the_commands_and_the_exit_codes(capfd: Captured) -> None:
    assert main(['--help']) == 0
    told = capfd.readouterr().out
    assert 'Exit codes: 0 done, 1 failed, 2 wrong use, 3 done but something needs a look' in ' '.join(told.split())
    for name in ('backfill', 'verify', 'reconcile', 'rebuild', 'status', 'rejects', 'stop'):
        assert f'\n    {name}' in told


@pytest.mark.parametrize('command', ['backfill', 'reconcile', 'status'])
def test_help_says_that_both_ends_are_included(command: str, capfd: Captured) -> None:
    assert main([command, '--help']) == 0
    told = ' '.join(capfd.readouterr().out.split())
    assert '--start D first day' in told
    assert '--end D last day, included; without it the first day alone' in told


def test_every_command_declares_what_it_takes(capfd: Captured) -> None:
    for name, text in COMMANDS.items():
        assert main([name, '--help']) == 0
        assert text in ' '.join(capfd.readouterr().out.split())


def test_the_version_is_the_one_of_the_project(capfd: Captured) -> None:
    assert main(['--version']) == 0
    dynamic = tomllib.loads((REPOSITORY / 'pyproject.toml').read_text('utf-8'))['tool']['setuptools']['dynamic']
    assert dynamic['version'] == {'attr': 'kly_mage.__version__'}  # one place says it
    assert capfd.readouterr().out == f'kly_mage {__version__}\n'


@pytest.mark.parametrize(
    ('words', 'offered'),
    [
        (['kly_mage', 'reb'], ['rebuild']),
        (['kly_mage', 'reconcile', '--h'], ['--help', '--html']),
        (['kly_mage', 'backfill', '--pipeline', ''], ['ads_revenue', 'articles_performance']),
        (['kly_mage', 'status', '--source', 'g'], ['ga4_events', 'gam_delivery']),
    ],
)
def test_bash_completes_commands_options_and_names(
    words: list[str], offered: list[str], capfd: Captured, tmp_path: Path
) -> None:
    assert main(['completion', 'bash']) == 0
    script = tmp_path / 'completion'
    script.write_text(capfd.readouterr().out)
    ask = f"""
        source {script}
        COMP_WORDS=({' '.join(word or "''" for word in words)}) COMP_CWORD={len(words) - 1}
        COMP_WORDS[COMP_CWORD]="{words[-1]}"
        $(complete -p kly_mage | grep -o '_shtab[a-z_]*') kly_mage "{words[-1]}"
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(['bash', '-c', ask], capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == offered


def test_the_function_for_the_shell_works_from_any_folder(capfd: Captured, tmp_path: Path) -> None:
    assert main(['completion', 'bash']) == 0
    script = tmp_path / 'completion'
    script.write_text(capfd.readouterr().out)
    ask = ['bash', '-c', f'source {script}; kly_mage --version']
    assert subprocess.run(ask, cwd='/', capture_output=True, text=True, check=True).stdout == f'kly_mage {__version__}\n'


def test_a_page_that_cannot_be_written_is_said_before_the_work(capfd: Captured, tmp_path: Path) -> None:
    assert main(['reconcile', '--html', str(tmp_path / 'nowhere' / 'page.html')]) == 2
    assert (
        'page.html cannot be written (No such file or directory): name a file in a folder that takes it'
        in capfd.readouterr().err
    )


# --- backfill ---------------------------------------------------------------------------------------------------------


def test_both_ends_are_included(settings: Settings, query: Query) -> None:
    three_days(settings)
    assert backfill('2025-10-02', '2025-10-03') == 0
    days = 'select distinct _partition_date::text from bronze.ga4_events order by 1'
    assert query(days) == [('2025-10-02',), ('2025-10-03',)]


@pytest.mark.parametrize('option', ['--start', '--end'])
def test_one_end_alone_is_one_day(settings: Settings, query: Query, option: str) -> None:
    three_days(settings)
    assert main(['backfill', option, '2025-10-02', '--quiet']) == 0
    assert query('select date::text from gold.daily_summary') == [('2025-10-02',)]


def test_a_line_per_day_and_a_last_line_that_sums_up(settings: Settings, capfd: Captured) -> None:
    three_days(settings)
    assert backfill('2025-10-01', '2025-10-03') == 0
    written = capfd.readouterr()
    assert written.out == (
        'gam_delivery: 3 read, 3 distinct, 3 new, 0 already loaded, 0 rejected, 0 conflicting; '
        'cms_articles: 3 read, 3 distinct, 3 new, 0 already loaded, 0 rejected, 0 conflicting; '
        'ga4_events: 6 read, 6 distinct, 6 new, 0 already loaded, 0 rejected, 0 conflicting\n'
    )
    assert [line for line in written.err.splitlines() if line.startswith('2025-')] == [
        f'2025-10-0{day}  gam_delivery 1 row (1 new); cms_articles 1 row (1 new); ga4_events 2 rows (2 new)'
        for day in (1, 2, 3)
    ]
    assert backfill('2025-10-01', '2025-10-03', '--quiet') == 0
    written = capfd.readouterr()
    assert written.err == ''
    told = '0 new, 0 already loaded, 0 rejected, 0 conflicting, 6 already loaded (file unchanged)'
    assert f'ga4_events: 6 read, 6 distinct, {told}' in written.out


def test_one_pipeline_leaves_the_other_alone(settings: Settings, query: Query) -> None:
    three_days(settings)
    assert ads('2025-10-01', '2025-10-03') == 0
    assert query('select distinct source from ops.loads') == [('gam_delivery',)]
    assert query('select count(*), sum(pageviews), sum(revenue_usd) from gold.daily_summary') == [(3, 0, 3)]
    assert backfill('2025-10-01', '2025-10-03', '--pipeline', 'articles_performance') == 0
    assert query('select sum(pageviews), sum(revenue_usd) from gold.daily_summary') == [(3, 3)]


def test_conflicts_and_rejects_need_a_look(settings: Settings, capfd: Captured) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad('a', '1'), ad('a', '2'))
    assert ads() == 3
    told = capfd.readouterr().err
    assert (
        'gam_delivery: 1 row with the key of another row but other values; '
        'python -m kly_mage conflicts --source gam_delivery lists them' in told
    )
    assert 'bronze.gam_delivery_conflicts. They differ in site, impressions, clicks, revenue_usd or what is not' in told
    assert 'hash_columns in kly_mage/declared/gam_delivery.py' in told
    deliver(settings, 'gam_delivery_20251001.csv', ad('a', 'x'))
    assert ads() == 3
    assert 'python -m kly_mage rejects --source gam_delivery' in capfd.readouterr().err


# --- days that never came ---------------------------------------------------------------------------------------------


def test_a_day_without_file_and_without_row_needs_a_look(settings: Settings, capfd: Captured) -> None:
    three_days(settings)
    assert backfill('2025-09-29', '2025-10-03') == 3
    written = capfd.readouterr()
    assert 'ga4_events: no file, or one without rows, for 2025-09-29 to 2025-09-30' in written.err
    assert '2025-09-30  gam_delivery missing; cms_articles missing; ga4_events missing' in written.err
    assert written.out.count('2 days missing') == 3
    assert backfill('2025-10-01', '2025-10-03') == 0
    assert 'missing' not in capfd.readouterr().out


def test_a_day_whose_file_has_no_row_is_as_missing_as_one_without_a_file(settings: Settings, capfd: Captured) -> None:
    deliver(settings, 'gam_delivery_20251001.csv')
    (settings.data_dir / 'gam_delivery' / 'gam_delivery_20251002.csv').write_bytes(b'')
    assert ads('2025-10-01', '2025-10-02') == 3
    told = capfd.readouterr()
    for day in ('2025-10-01', '2025-10-02'):  # one has a header, the other not even that
        assert f'{day}  gam_delivery missing' in told.err
    assert told.out.endswith(', 2 days missing\n')


def test_late_rows_in_a_later_file_stand_for_no_file_of_their_day_rows_of_an_undated_one_do(settings: Settings) -> None:
    deliver(settings, 'gam_delivery_20251003.csv', ad(day='2025-10-02'), ad(day='2025-10-03'))
    assert ads('2025-10-03', '2025-10-03') == 0
    assert ads('2025-10-02', '2025-10-03') == 3
    (settings.data_dir / 'gam_delivery' / 'gam_delivery_20251003.csv').rename(settings.data_dir / 'gam_delivery.csv')
    assert ads('2025-10-02', '2025-10-03') == 0
    assert ads('2025-10-01', '2025-10-03') == 3


def test_a_day_that_was_loaded_and_whose_file_is_gone_is_not_missing(settings: Settings) -> None:
    three_days(settings)
    assert ads('2025-10-01', '2025-10-03') == 0
    (settings.data_dir / 'gam_delivery' / 'gam_delivery_20251002.csv.gz').unlink()
    assert ads('2025-10-01', '2025-10-03') == 0


def test_nobody_publishes_every_day_so_one_file_of_all_articles_misses_none(settings: Settings) -> None:
    three_days(settings)
    for path in (settings.data_dir / 'cms_articles').iterdir():
        path.unlink()
    deliver(settings, 'cms_articles_all.csv', article('7', published='2024-05-06'))
    assert backfill('2025-10-01', '2025-10-03') == 0


# --- dry run ----------------------------------------------------------------------------------------------------------


def test_a_dry_run_lists_days_and_files_and_needs_no_server(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capfd: Captured
) -> None:
    monkeypatch.setenv('POSTGRES_HOST', '/nowhere')
    three_days(settings)
    deliver(settings, 'gam_delivery_20251005.csv', ad(day='2025-10-05'))
    deliver(settings, 'gam_delivery_20251006.csv', ad(day='2025-10-06'))
    assert ads('2025-10-02', '2025-10-04', '--dry-run') == 3
    size = (settings.data_dir / 'gam_delivery' / 'gam_delivery_20251005.csv').stat().st_size
    told = capfd.readouterr().out.splitlines()
    assert told[0] == 'gam_delivery: 2025-10-02 to 2025-10-04'
    assert told[1].startswith('  2025-10-02  gam_delivery/gam_delivery_20251002.csv.gz (')
    assert told[3] == '  2025-10-04  no file'
    late = 'gam_delivery/gam_delivery_20251005.csv', 'gam_delivery/gam_delivery_20251006.csv'
    assert told[4] == f'  late rows   {late[0]} ({size} bytes), {late[1]} ({size} bytes)'
    assert told[5:] == ['nothing was loaded: --dry-run only lists']
    assert ads('2025-10-02', '2025-10-03', '--dry-run') == 0


def test_a_dry_run_finds_a_header_that_cannot_be_used(settings: Settings, capfd: Captured) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', header='served_at')
    assert ads('2025-10-01', None, '--dry-run') == 1
    assert 'required column missing: ad_unit' in capfd.readouterr().err


@pytest.mark.parametrize('command', [['reconcile', '--html'], ['export']])
@pytest.mark.parametrize('place', ['/proc/page.csv', '/nowhere/page.csv'])
@pytest.mark.usefixtures('settings')
def test_a_file_that_cannot_be_written_is_said_before_the_work(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: list[str], place: str
) -> None:
    """A folder may be open to everybody and take no file: those of /proc are root's, and root may write everywhere."""
    for work in ('kly_mage.cli.reconcile.reconcile', 'kly_mage.warehouse.postgres.engine.Postgres.stream'):
        monkeypatch.setattr(work, lambda *_: pytest.fail('the work has begun'))
    assert main([*command, place]) == 2
    assert f'{place} cannot be written (No such file or directory): name a file' in capfd.readouterr().err


@pytest.mark.usefixtures('settings')
def test_more_days_than_anybody_has_are_taken_for_a_typing_error(capfd: pytest.CaptureFixture[str]) -> None:
    for command in (['backfill', '--dry-run'], ['status'], ['unload']):
        assert main([*command, '--start', '0202-10-01', '--end', '2025-10-01']) == 2
        assert '0202-10-01 to 2025-10-01 are more than a hundred years: which days are meant?' in capfd.readouterr().err


@pytest.mark.usefixtures('settings')
@pytest.mark.parametrize('number', ['-1', '0', 'x', '1e3'])
def test_a_load_is_named_by_its_number(capfd: pytest.CaptureFixture[str], number: str) -> None:
    assert main(['unload', '--load', number]) == 2
    assert f"'{number}' is no number of a load from 1 to 100,000,000,000,000,000" in capfd.readouterr().err


def test_one_of_anything_is_told_as_one(settings: Settings, query: Query, capsys: pytest.CaptureFixture[str]) -> None:
    path = deliver(settings, 'gam_delivery_20251001.csv', ad())
    assert main(['inspect', str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith('8 columns, 1 row')
    assert main(['backfill', '--start', '2025-10-01', '--pipeline', 'ads_revenue', '--details']) == 0
    query('update gold.gam_daily_summary set clicks = 1')
    capsys.readouterr()
    assert main(['verify']) == 1
    assert '\n1 difference; rows checked: ' in capsys.readouterr().out
