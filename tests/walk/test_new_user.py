"""The walk of a new user: the first screen, the commands, files of one's own, a broken one, the remedy."""

import re

import pytest

from tests.remedies import printed
from tests.walk.clone import COLUMNS, Clone

pytestmark = [pytest.mark.walk, pytest.mark.one_version]

CMS = """ID Artikel;Judul;Rubrik;Penulis;Situs;Terbit
101;Harga Beras Naik;Ekonomi;Sari;kly.example;01.10.2025 08:15
102;Gol Menit Akhir;Bola;Budi;kly.example;02.10.2025 21:40
"""
TO_FILL_IN = {'content_id': 'ID Artikel', 'title': 'Judul', 'author': 'Penulis', 'section': 'Rubrik'}
EVENTS = """event_timestamp,event_name,user_pseudo_id,session_id,content_id
2025-10-01T08:30:00+07:00,page_view,u1,1,101
2025-10-02T08:30:00+07:00,page_view,u2,1,102
"""
ADS = 'served_at,ad_unit,line_item,creative,content_id,impressions,clicks,revenue_usd\n'
FIRST_DAY = ADS + '2025-10-01T09:00:00+07:00,top,1,1,101,10,1,0.75\n'
SECOND_DAY = ADS + '2025-10-02T09:00:00+07:00,top,1,1,102,10,1,0.25\n2025-10-02T10:00:00+07:00,top,1,2,102,{},1,1\n'


def test_make_run_ends_as_the_readme_says(clone: Clone, first_screen: str) -> None:
    readme = (clone.folder / 'README.md').read_text('utf-8')
    (shown,) = re.findall(r'^```\n(gold\.daily_summary, most read\n.*?)^```$', readme, re.DOTALL | re.MULTILINE)
    last = first_screen[first_screen.index('gold.daily_summary, most read') :]
    lines = iter(_words(last))  # between them a bar came and went
    assert [line for line in _words(shown) if line not in lines] == []
    assert max(map(len, last.splitlines())) <= COLUMNS


def test_what_make_run_names_as_next_works(clone: Clone, first_screen: str) -> None:
    commands = printed(first_screen[first_screen.index('next:') :])
    assert [command.split()[0] for command in commands] == ['status', 'conflicts']
    # October is loaded, and the sample holds conflicts on purpose.
    for command, code in zip(commands, (0, 3), strict=True):
        clone.asks(command, code)


@pytest.mark.parametrize(
    ('command', 'code', 'shows'),
    [
        ('backfill --start 2025-10-01 --end 2025-10-02', 3, 'already loaded'),
        ('backfill --missing', 0, 'no day missing'),
        ('reconcile --days', 3, 'every cent accounted for'),
        ('verify', 0, '0 differences'),
        ('rebuild', 0, ''),
        ('show --day 2025-10-02 --sort revenue_usd --limit 3', 0, '48.84'),
        ('completion bash', 0, 'kly_mage()'),
        ("psql -c 'select sum(revenue_usd) from gold.daily_summary'", 0, '1012.648945'),
        ('env', 0, 'export PGHOST='),
        ('pack', 0, ''),
        ('migrate', 0, ''),
    ],
)
@pytest.mark.usefixtures('first_screen')
def test_a_command_of_the_docs_works(clone: Clone, command: str, code: int, shows: str) -> None:
    assert shows in clone.asks(command, code)


def test_files_of_ones_own_load_and_the_printed_remedies_repair_a_broken_one(clone: Clone, first_screen: str) -> None:
    assert first_screen
    landing = clone.folder / 'own'
    for name, text in (
        ('cms_articles/artikel.csv', CMS),
        ('ga4_events/ga4_events.csv', EVENTS),
        ('gam_delivery/gam_delivery_20251001.csv', FIRST_DAY.replace(',revenue_usd', '').replace(',0.75', '')),
        ('gam_delivery/gam_delivery_20251002.csv', SECOND_DAY.format('x')),
    ):
        (landing / name).parent.mkdir(parents=True, exist_ok=True)
        (landing / name).write_text(text, 'utf-8')
    own = {'KLY_DATA_DIR': str(landing), 'POSTGRES_DBNAME': 'own', 'KLY_SETTLE_SECONDS': '0'}

    # The CMS writes columns of its own: the command that is named begins a mapping, filled in as its lines ask.
    told = _line(clone.asks('backfill --start 2025-10-01 --end 2025-10-02', 1, **own))
    assert 'cms_articles/artikel.csv: required column missing: content_id' in told
    (begins,) = {command for command in printed(told) if command.startswith('inspect cms_articles/')}
    mapping = clone.asks(begins, **own)
    for column, name in TO_FILL_IN.items():
        mapping = re.sub(rf"^# {column} = '…'.*$", f"{column} = {{ from = '{name}' }}", mapping, flags=re.MULTILINE)
    (landing / 'landing.toml').write_text(mapping, 'utf-8')
    assert 'read by landing.toml: 6 columns, 2 rows' in _line(clone.asks(begins.removesuffix(' --mapping'), **own))

    # Of the ads one file lacks a column and one has a row that is no number. Whoever asks is told, and where to look.
    said = {
        command: _line(clone.asks(command, code, **own))
        for command, code in (
            ('backfill --start 2025-10-01 --end 2025-10-02 --details', 3),
            ('status', 3),
            ('reconcile', 3),
        )
    }
    remedies = {name: printed(text) for name, text in said.items()}
    for name, text in said.items():
        assert 'required column missing: revenue_usd' in text, name
        assert remedies[name], name
    for remedy in sorted({each for commands in remedies.values() for each in commands if each.startswith('rejects')}):
        shown = _line(clone.asks(remedy, 3, **own))
        assert "3 impressions 'x' not a whole number" in shown, remedy
        assert shown.count('2 rejects wait') == 1, remedy

    # The files are repaired, and what status and reconcile said loads them: each from where the broken ones were.
    loads = [each for name in ('status', 'reconcile') for each in remedies[name] if each.startswith('backfill')]
    assert loads == ['backfill --start 2025-10-01 --end 2025-10-01'] * 2
    (landing / 'gam_delivery/gam_delivery_20251001.csv').write_text(FIRST_DAY, 'utf-8')
    assert 'gam_delivery: 1 read, 1 distinct, 1 new' in _line(clone.asks(loads[0], **own))
    (landing / 'gam_delivery/gam_delivery_20251002.csv').write_text(SECOND_DAY.format('30'), 'utf-8')
    assert '1 reject resolved, 1 row loaded' in clone.asks('rejects --retry', **own)

    # 0.75 + 0.25 + 1 dollars, in the files and in gold
    assert 'every cent accounted for' in clone.asks('reconcile --html own.html', **own)
    assert '<span title="2">2.00</span>' in (clone.folder / 'own.html').read_text('utf-8')
    assert '0 differences' in clone.asks('verify', **own)


def _line(text: str) -> str:
    """The text without its line breaks, which a narrow terminal puts between words."""
    return ' '.join(text.split())


def _words(text: str) -> list[str]:
    return [' '.join(line.split()) for line in text.splitlines() if line.strip()]
