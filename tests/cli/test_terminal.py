"""What fits into a terminal of 80 columns: the numbers and days of every table, whole."""

import re

import pytest
from rich.cells import cell_len

from kly_mage.__main__ import main
from kly_mage.common.settings import Settings
from tests.cli.terminal import COLUMNS, shown
from tests.delivery import ad, article, backfill, deliver, event

pytestmark = pytest.mark.one_version

LONG = 'Harga Beras Turun di Pasar Induk, Pedagang dan Pembeli Sama-Sama Menunggu Kabar dari Gudang'


def a_day_of_millions(settings: Settings) -> None:
    """One article with a long title and an ad whose numbers are as long as they get: seven digits before the point."""
    deliver(settings, 'cms_articles_20251001.csv', article('7', f'"{LONG}"'))
    deliver(settings, 'ga4_events_20251001.csv', *(event(user=f'u{n}') for n in range(1200)))
    deliver(
        settings,
        'gam_delivery_20251001.csv',
        ad('top', revenue='1234567.891234', impressions='98765432', clicks='654321'),
        ad('side', revenue='0.005', impressions='1', clicks='1'),
    )
    assert backfill() == 0


@pytest.mark.parametrize(
    'command', [('show',), ('reconcile', '--days'), ('rejects',), ('conflicts',), ('status',), ('verify',)], ids=' '.join
)
def test_no_line_of_a_table_is_wider_than_the_terminal(settings: Settings, command: tuple[str, ...]) -> None:
    a_day_of_millions(settings)
    deliver(settings, 'gam_delivery_20251002.csv', ad(day='2025-10-02', revenue='n/a'), ad('side', revenue='0.004'))
    backfill('2025-10-02')
    for line in shown(*command):
        if 'python -m kly_mage' not in line:  # a command is copied whole
            assert cell_len(line) <= COLUMNS, line


def test_a_number_and_a_day_are_whole_and_the_title_gives_way(settings: Settings) -> None:
    a_day_of_millions(settings)
    told = shown('show')
    row = next(line for line in told if line.startswith('2025-10-01'))
    # 1,234,567.891234 + 0.005 = 1,234,567.896234 USD on 1,200 pageviews: 1,028,806.580195 per thousand
    assert re.fullmatch(r'2025-10-01  7 +Harga Beras Turun …  +1,200 +1,234,567\.90 +1,028,806\.58', row), row
    assert 'left out, for want of room: sessions, impressions, clicks' in told


def test_a_wide_terminal_has_room_for_every_column(settings: Settings) -> None:
    a_day_of_millions(settings)
    told = shown('show', columns=200)
    assert not any('left out' in line for line in told)
    assert any(re.search(r' 98,765,433 +654,322 +1,234,567\.90 ', line) for line in told)


def test_where_nothing_helps_columns_go_below_one_another_with_their_day(settings: Settings) -> None:
    a_day_of_millions(settings)
    told = shown('reconcile', '--days', '--source', 'gam_delivery', columns=40)
    assert max(cell_len(line) for line in told if line.startswith('2025-10-01')) <= 40
    lines = ' '.join(line for line in told if line.startswith('2025-10-01'))
    assert lines.count('2025-10-01') > 1
    assert lines.count('1,234,567.90') == 2  # in the files, and in gold


def test_money_stands_to_the_cent_and_its_points_below_one_another(settings: Settings) -> None:
    a_day_of_millions(settings)
    deliver(settings, 'gam_delivery_20251002.csv', ad(day='2025-10-02', revenue='3'))
    deliver(settings, 'ga4_events_20251002.csv', event(day='2025-10-02'))
    backfill('2025-10-02')
    told = [line for line in shown('show') if line.startswith(('2025', 'in all'))]
    assert len({line.rindex('.') for line in told}) == 1, told
    assert all(re.search(r'\.\d\d$', line) for line in told), told


def test_less_than_half_a_cent_never_reads_as_nothing(settings: Settings) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad(revenue='0.001'))
    assert backfill('2025-10-01', None, '--pipeline', 'ads_revenue') == 0
    assert any(re.search(r' <0\.01$', line) for line in shown('reconcile', '--source', 'gam_delivery'))


def test_a_terminal_gets_remarks_folded_and_a_log_all_of_them(settings: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad(revenue='1'), ad('other', revenue='n/a'))
    backfill('2025-10-01', None, '--pipeline', 'ads_revenue')
    command = ('reconcile', '--source', 'gam_delivery')
    folded, opened = shown(*command), shown(*command, '--details')
    assert any(line.startswith('Good to know: ') and line.endswith(' more, with --details') for line in folded)
    assert not any(line.startswith('- ') for line in folded)
    assert any(line.startswith('- gam_delivery: 1 row') for line in opened), opened
    capfd.readouterr()
    main([*command])
    assert '\n- gam_delivery: 1 row' in capfd.readouterr().out


def test_a_remark_is_broken_between_its_words_and_its_command_is_whole(settings: Settings) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad(revenue='1'), ad(revenue='2'), ad('other', revenue='n/a'))
    told = shown('backfill', '--start', '2025-10-01', '--pipeline', 'ads_revenue', '--details', errors=True)
    assert max(cell_len(line) for line in told if not line.startswith('loading ')) <= COLUMNS  # a bar is drawn over
    for command in ('rejects', 'conflicts'):
        assert sum(f'python -m kly_mage {command} --source gam_delivery' in line for line in told) == 1
    (begin,) = (n for n, line in enumerate(told) if line.startswith('  the first version counts, '))
    assert told[begin + 1].startswith('  ')
    assert ' '.join(line.strip() for line in told[begin:]).count('in kly_mage/declared/gam_delivery.py') == 1
    # Whoever looks on gets what it is about and the command, and not what else there is to say.
    folded = shown('backfill', '--start', '2025-10-01', '--pipeline', 'ads_revenue', errors=True)
    assert not any('hash_columns' in line for line in folded)


def test_the_days_of_a_backfill_are_a_table_whose_columns_are_the_places_that_occur(settings: Settings) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad(revenue='1'), ad(revenue='1'), ad('other', revenue='n/a'))
    days = ('--start', '2025-10-01', '--end', '2025-10-02', '--pipeline', 'ads_revenue')
    told = [line.rstrip() for line in shown('backfill', *days, '--details', errors=True)]
    (begin,) = (n for n, line in enumerate(told) if line.startswith('day and source'))
    assert told[begin].split()[3:] == ['rows', 'new', 'duplicate', 'rejected']
    # Three rows: one counts, one equals it, one has no amount. Of the second day there is no file.
    assert told[begin + 2].split() == ['2025-10-01', 'gam_delivery', '3', '1', '1', '1']
    assert told[begin + 3].split() == ['2025-10-02', 'gam_delivery', 'missing']
    assert max(map(cell_len, told[begin : begin + 4])) <= COLUMNS
    assert not any(line.startswith('day and source') for line in shown('backfill', *days, errors=True))
