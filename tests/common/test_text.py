"""Foreign text that is shown: nothing in it moves a cursor, hides, or turns around what stands beside it."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kly_mage.common.text import counted, printable


@pytest.mark.parametrize(
    ('text', 'shown'),
    [
        ('Resep Soto Khas Semarang', 'Resep Soto Khas Semarang'),
        ('Café über 日本 🎉', 'Café über 日本 🎉'),
        ('non\u00a0breaking', 'non\u00a0breaking'),
        ('\x1b]0;mine\x07', r'\x1b]0;mine\x07'),
        ('\x9b31mred', r'\x9b31mred'),
        ('a\nb\r\tc\x00\x7f', r'a\nb\r\tc\x00\x7f'),
        ('gpj.\u202eexe', r'gpj.\u202eexe'),
        ('\u2066a\u2069\u200e\u200f\u061c', r'\u2066a\u2069\u200e\u200f\u061c'),
        ('zero\u200bwidth\ufeff\u2060', r'zero\u200bwidth\ufeff\u2060'),
        ('line\u2028and\u2029paragraph\x85', r'line\u2028and\u2029paragraph\x85'),
        ('lone \udc80', r'lone \udc80'),
        ('tag \U000e0041', r'tag \U000e0041'),
        ('[red]markup[/]', '[red]markup[/]'),
    ],
)
def test_what_a_terminal_would_obey_is_spelled_out_and_the_rest_is_left_alone(text: str, shown: str) -> None:
    assert printable(text) == shown


@settings(deadline=None, derandomize=True)
@given(st.text(st.characters()), st.none() | st.integers(1, 20))
def test_whatever_the_text_it_is_one_line_that_can_be_encoded_and_is_no_longer_than_asked(
    text: str, limit: int | None
) -> None:
    shown = printable(text, limit)
    assert not any(unicodedata.category(c) in ('Cc', 'Cf', 'Cs', 'Zl', 'Zp') for c in shown)
    assert shown.encode().decode() == shown
    assert limit is None or len(shown) <= limit
    assert printable(shown, limit) == shown


def test_a_text_that_is_cut_says_so() -> None:
    assert printable('abcdef', 6) == 'abcdef'
    assert printable('abcdefg', 6) == 'abcde…'
    assert printable('abc\x1bdef', 6) == r'abc\x…'
    assert printable('\x1b' * (1 << 20), 10) == r'\x1b\x1b\…'


def test_what_is_counted_agrees_with_its_number() -> None:
    assert [counted(n, 'row') for n in (0, 1, 2, 2000)] == ['0 rows', '1 row', '2 rows', '2,000 rows']
    assert [counted(n, 'row is', 'rows are') for n in (1, 2)] == ['1 row is', '2 rows are']
