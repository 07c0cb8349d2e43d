"""Titles, file names, values and column names that are meant for the terminal: none of them reaches it."""

import ast
import re
import subprocess
import sys
import unicodedata
from collections.abc import Callable

import pytest

from kly_mage.common.settings import PROJECT, REPOSITORY, Settings
from tests import commands
from tests.delivery import ad, article, deliver, event

pytestmark = pytest.mark.one_version

# A window's title, C1's CSI, a line turned around, Rich's markup, a carriage return, a zero-width space.
HOSTILE = '\x1b]0;owned\x07\x1b[2J\x9b31m\u202egpj.exe\u2066[red]a[/red][/]\r\u200b'
HOSTILE_FILE = HOSTILE.replace('/', '-')  # is refused, by name
FILE = '[red]a[-red][-]'  # markup that can be shown: a name like any other
DAYS = ('--start', '2025-10-01', '--end', '2025-10-01')
COMMANDS = {
    'a dry run': ('backfill', *DAYS, '--dry-run'),
    'backfill': ('backfill', *DAYS),
    'backfill again, with every step': ('backfill', *DAYS, '--debug'),
    'show': ('show',),
    'show by article': ('show', '--by', 'article'),
    'show as JSON': ('show', '--json'),
    'an article that is hostile': ('show', '--article', HOSTILE),
    'a column that is none': ('show', '--sort', HOSTILE),
    'a file to export to': ('export', f'/nowhere/{HOSTILE}'),
    'rejects as JSON': ('rejects', '--json'),
    'conflicts as JSON': ('conflicts', '--json'),
    'status': ('status',),
    'status as JSON': ('status', '--json'),
    'rejects': ('rejects',),
    'rejects, again': ('rejects', '--retry'),
    'verify': ('verify',),
    'reconcile': ('reconcile', '--days'),
    'reconcile as JSON': ('reconcile', '--json'),
    'reconcile as CSV': ('reconcile', '--csv'),
    'repair': ('repair',),
    'rebuild': ('rebuild',),
    'env': ('env',),
    'completion': ('completion', 'bash'),
    'an option that is none': ('show', f'--{HOSTILE}'),
    'a command that is none': (HOSTILE,),
    'a day that is none': ('show', '--start', HOSTILE),
    'a source that is none': ('rejects', '--source', HOSTILE),
    'a page that cannot be written': ('reconcile', '--html', f'/nowhere/{HOSTILE}'),
}
# What Rich itself sends for a colour, a bar and a hidden cursor.
OWN = re.compile(r'\x1b\[[\d;]*m|\x1b\[\?25[lh]|\x1b\[\d*[AKG]|\r(?=[\n\x1b])')


def hostile_landing_zone(settings: Settings) -> None:
    """A file of each source: hostile in its name, its header, its titles, its keys and what is rejected."""
    quoted = f'"{HOSTILE}"'
    deliver(settings, f'cms_articles_20251001{FILE}.csv', article('7', quoted), article(quoted, quoted))
    deliver(
        settings,
        f'ga4_events_20251001{FILE}.csv',
        *(f'{event(content=content)},x' for content in ['7'] * 3 + [quoted]),
        f'"{HOSTILE}",page_view,u1,1,7,x',
        header=f'event_timestamp,event_name,user_pseudo_id,session_id,content_id,"{FILE}"',
    )
    deliver(
        settings, f'gam_delivery_20251001{FILE}.csv', ad('a', '1'), ad('a', '2'), ad('b', quoted), ad(quoted, clicks=quoted)
    )


def plain(*arguments: str) -> str:
    """What the command writes where nobody looks on."""
    done = subprocess.run(
        [sys.executable, '-m', 'kly_mage', *arguments], cwd=REPOSITORY, capture_output=True, timeout=120, check=False
    )
    return (done.stdout + done.stderr).decode()


def on_a_terminal(*arguments: str) -> str:
    """What the command writes on a terminal, without what Rich itself sends."""
    return OWN.sub('', commands.on_a_terminal(*arguments, columns=500, term='xterm-256color', errors=True))


def obeyed(text: str) -> list[str]:
    """What a terminal would obey, or a reader not see."""
    kinds = ('Cc', 'Cf', 'Cs', 'Zl', 'Zp')
    return [f'{c!r} in {line!r}' for line in text.split('\n') for c in line if unicodedata.category(c) in kinds]


@pytest.mark.parametrize('write', [plain, on_a_terminal])
def test_no_command_gives_a_terminal_what_came_from_somebody_else(settings: Settings, write: Callable[..., str]) -> None:
    hostile_landing_zone(settings)
    told = {}
    for name, arguments in COMMANDS.items():
        told[name] = write(*arguments)
        assert obeyed(told[name]) == [], name
        assert 'Traceback' not in told[name], name
        assert 'MarkupError' not in told[name], name
    # It is shown all the same, spelled out: nobody has to guess what stands there.
    for name in (
        'rejects',
        'an option that is none',
        'a page that cannot be written',
    ):
        assert 'x1b]0;owned' in told[name], name
    assert r'\x1b]0;owned' in told['show']
    assert '[red]a[-red][-]' in told['a dry run']


def test_csv_is_exact_in_a_file_and_spelled_out_on_a_terminal(settings: Settings) -> None:
    hostile_landing_zone(settings)
    plain('backfill', *DAYS)
    told = on_a_terminal('show', '--csv')
    assert obeyed(told) == []
    assert r'\x1b]0;owned' in told
    assert HOSTILE in plain('show', '--csv').replace('\r\n', '\n')


@pytest.mark.parametrize('write', [plain, on_a_terminal])
def test_a_file_whose_name_cannot_be_shown_is_named_spelled_out(settings: Settings, write: Callable[..., str]) -> None:
    deliver(settings, f'gam_delivery_20251001{HOSTILE_FILE}.csv', ad('a', '1'))
    for arguments in (('backfill', *DAYS, '--dry-run'), ('backfill', *DAYS), ('status',), ('reconcile',)):
        told = write(*arguments)
        assert obeyed(told) == [], arguments
        if arguments[0] != 'status':
            assert r'x1b]0;owned\x07\x1b[2J\x9b31m\u202egpj.exe' in told, arguments


def test_an_error_with_its_traceback_is_as_harmless(settings: Settings) -> None:
    deliver(settings, f'gam_delivery_20251001{FILE}.csv', header=f'served_at,"{HOSTILE}"')
    for options in ((), ('--debug',)):
        told = plain('backfill', *DAYS, '--pipeline', 'ads_revenue', *options)
        assert 'required column missing' in told
        assert ('Traceback' in told) is bool(options)
        assert obeyed(told) == []


def test_what_is_written_to_a_terminal_is_written_in_one_place() -> None:
    allowed = {'common/console.py', 'common/tables.py', 'loads/progress.py'}
    for path in sorted(PROJECT.rglob('*.py')):
        if str(path.relative_to(PROJECT)) in allowed:
            continue
        for node in ast.walk(ast.parse(path.read_text('utf-8'))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, 'module', None) or '']
                assert not any(name.split('.')[0] == 'rich' for name in names), f'{path}:{node.lineno}'
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in ('print', 'sys.stdout.write', 'sys.stderr.write'), (
                    f'{path}:{node.lineno}'
                )
