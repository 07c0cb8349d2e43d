"""What an export block hands to Mage."""

from decimal import Decimal

import pytest

from kly_mage.mage.blocks import tell


def test_mage_gets_what_it_can_keep_and_show(capsys: pytest.CaptureFixture[str]) -> None:
    load = {'rows_read': 4, 'stale': None, 'look': [], 'left_out': {}, 'line': 'loaded'}
    told = {'rows_read': 4, 'look': [], 'left_out': {}, 'line': 'loaded'}
    for money, shown in (('1E+3', '1000'), ('33.829626000000000000', '33.829626')):
        assert tell(load | {'money_read': Decimal(money)}, {}) == told | {'money_read': shown}
    assert capsys.readouterr().out == 'loaded\n' * 2


def test_the_command_line_gets_the_load_as_it_is() -> None:
    load = {'rows_read': 4, 'money_read': Decimal('1.50'), 'stale': None}
    assert tell(load, {}) is load
