"""docs/words.md: every word that the output uses for a row or a day is explained there."""

import argparse
import re
from pathlib import Path

import pytest

from kly_mage.checks.reconciliation.table import TITLES
from kly_mage.checks.status import STATES
from kly_mage.cli.main import parser
from kly_mage.common.settings import REPOSITORY
from kly_mage.common.words import words
from kly_mage.warehouse.ledger import PARTS, word


def test_one_page_explains_every_word_for_a_row_and_a_day() -> None:
    page = (REPOSITORY / 'docs' / 'words.md').read_text('utf-8')
    for term in (*TITLES.values(), *map(word, PARTS)):
        assert f'\n| {term} |' in page or f'\n| {term}, ' in page, term
    for name, (sign, meaning, missing) in STATES.items():
        assert f'\n| `{sign}` | {name} | {meaning}{"; counts as missing" if missing else ""} |\n' in page, name


def test_pages_show_each_word_of_it_and_the_help_of_each_command_leads_to_it_from_any_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    of_row, of_day = words().values()
    assert dict(of_row)['new'] == 'was in bronze nowhere before; this load has put it there. In gold: yes.'
    assert not any(sign in meaning for _, meaning in of_row for sign in '`*')
    assert {word for word, _ in of_row} >= {*map(word, PARTS)} - {'read'}
    assert [word for word, _ in of_day] == [f'{sign} {name}' for name, (sign, _, _) in STATES.items()]
    monkeypatch.setenv('COLUMNS', '300')
    for folder in (REPOSITORY, REPOSITORY / 'kly_mage', tmp_path):
        monkeypatch.chdir(folder)
        for help_ in (parser([]).format_help(), *(command.format_help() for command in commands())):
            (place,) = re.findall(r'\S*words\.md', help_)
            assert Path(place).samefile(REPOSITORY / 'docs' / 'words.md')


def commands() -> list[argparse.ArgumentParser]:
    """The parsers of the commands."""
    (action,) = (found for found in parser([])._actions if isinstance(found, argparse._SubParsersAction))
    return list(action.choices.values())
