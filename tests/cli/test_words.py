"""docs/words.md: every word that the output uses for a row or a day is explained there."""

from kly_mage.checks.reconciliation.table import TITLES
from kly_mage.checks.status import STATES
from kly_mage.common.settings import REPOSITORY
from kly_mage.warehouse.ledger import PARTS, word


def test_one_page_explains_every_word_for_a_row_and_a_day() -> None:
    page = (REPOSITORY / 'docs' / 'words.md').read_text('utf-8')
    for term in (*TITLES.values(), *map(word, PARTS)):
        assert f'\n| {term} |' in page or f'\n| {term}, ' in page, term
    for name, (sign, meaning, missing) in STATES.items():
        assert f'\n| `{sign}` | {name} | {meaning}{"; counts as missing" if missing else ""} |\n' in page, name
