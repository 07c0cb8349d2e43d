"""What mkdocs asks of us for ``make docs``: sections of the README become pages of the site, and are written once.

A line ``{{ README: Every day }}`` in a page stands for that section of the README, ``{{ FILE: bench/RESULTS.md }}`` for a
whole file. Links in what is taken over lead to where its target is in the site; what is no part of it keeps its words.
"""

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_PLACE = re.compile(r'^\{\{ (README|FILE): (.+?) \}\}$', re.MULTILINE)
_LINK = re.compile(r'(!?)\[([^\]]*)\]\(([^)\s]+)\)')
_PAGE_OF_ANCHOR = {
    '#tables': 'metrics.md#tables',
    '#columns-of-your-own': 'own-data.md#columns-of-your-own',
}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """A page with the sections it names in their places, and with links that stay in the site."""
    return _LINK.sub(_within, _PLACE.sub(_taken_over, markdown))


def section(readme: str, heading: str) -> str:
    """A section of the README with its heading and those below it.

    Raises:
        ValueError: there is none of this name.
    """
    for part in re.split(r'^(?=##? )', readme, flags=re.MULTILINE):
        if part.partition('\n')[0].lstrip('# ') == heading:
            return part.rstrip()
    raise ValueError(f'README.md has no section {heading!r}')


def _taken_over(place: re.Match[str]) -> str:
    kind, name = place.groups()
    text = section((ROOT / 'README.md').read_text('utf-8'), name) if kind == 'README' else (ROOT / name).read_text('utf-8')
    return _LINK.sub(_from_the_root, text)


def _from_the_root(link: re.Match[str]) -> str:
    """A link of the README as one of a page: ``docs/x.md`` is ``x.md`` there, all else lies above."""
    picture, words, target = link.groups()
    if target.startswith('#'):
        target = _PAGE_OF_ANCHOR.get(target, target)
    elif '://' not in target:
        target = target.removeprefix('docs/') if target.startswith('docs/') else f'../{target}'
    return f'{picture}[{words}]({target})'


def _within(link: re.Match[str]) -> str:
    """The link, or its words where it leads out of the site to a file of the repository."""
    return link[2] if link[3].startswith('../') else link[0]
