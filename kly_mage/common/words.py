"""The words for a row and a day: docs/words.md, for the help of the commands, and for the pages, which show what it says."""

import os
import re
from pathlib import Path

from kly_mage.common.settings import REPOSITORY

PAGE = REPOSITORY / 'docs' / 'words.md'


def place() -> str:
    """Where the page lies, for somebody in the current folder."""
    here = Path.cwd()
    return os.path.relpath(PAGE, here) if PAGE.is_relative_to(here) else str(PAGE)


def words() -> dict[str, list[tuple[str, str]]]:
    """The two tables of the page: each word, and what it means; nothing where the page is not there."""
    text = re.sub(r'`|\*(?=\w)|(?<=\w)\*', '', PAGE.read_text('utf-8')) if PAGE.exists() else ''
    tables = [block.splitlines()[2:] for block in text.split('\n\n') if block.startswith('|')]
    cells = [[[cell.strip() for cell in line[1:-1].split(' |')] for line in table] for table in tables]
    if not cells:
        return {}
    of_row, of_day = cells
    return {
        'Of a row': [(word, f'{what}.' + (f' In gold: {counts}.' if counts else '')) for word, what, counts in of_row],
        'Of a day, in status': [(f'{sign} {word}', f'{what}.') for sign, word, what in of_day],
    }
