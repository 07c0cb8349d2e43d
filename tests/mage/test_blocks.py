"""What an export block hands to Mage."""

from decimal import Decimal

import pytest

from kly_mage.mage.blocks import tell


def test_mage_gets_what_it_can_keep_and_show(capsys: pytest.CaptureFixture[str]) -> None:
    load = {'rows_read': 4, 'money_read': Decimal('1E+3'), 'stale': None, 'look': [], 'left_out': {}, 'line': 'loaded'}
    assert tell(load, {}) == {'rows_read': 4, 'money_read': '1000', 'look': [], 'left_out': {}, 'line': 'loaded'}
    assert capsys.readouterr().out == 'loaded\n'


def test_the_command_line_gets_the_load_as_it_is() -> None:
    load = {'rows_read': 4, 'money_read': Decimal('1.50'), 'stale': None}
    assert tell(load, {}) is load
