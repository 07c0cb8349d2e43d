"""What mkdocs asks of us for ``make docs``: files of the repository become pages of the site, and are written once.

A line ``{{ FILE: README.md }}`` in a page stands for that file. Links in what is taken over lead to where its target is in
the site; what is no part of it keeps its words.
"""

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_PLACE = re.compile(r'^\{\{ FILE: (.+?) \}\}$', re.MULTILINE)
_LINK = re.compile(r'(!?)\[([^\]]*)\]\(([^)\s]+)\)')


def on_page_markdown(markdown: str, **_: Any) -> str:
    """A page with the files it names in their places, and with links that stay in the site."""
    return _LINK.sub(_within, _PLACE.sub(_taken_over, markdown))


def _taken_over(place: re.Match[str]) -> str:
    return _LINK.sub(_from_the_root, (ROOT / place[1]).read_text('utf-8'))


def _from_the_root(link: re.Match[str]) -> str:
    """A link of a file in the root as one of a page: ``docs/x.md`` is ``x.md`` there, all else lies above."""
    picture, words, target = link.groups()
    if '://' not in target and not target.startswith('#'):
        target = target.removeprefix('docs/') if target.startswith('docs/') else f'../{target}'
    return f'{picture}[{words}]({target})'


def _within(link: re.Match[str]) -> str:
    """The link, or its words where it leads out of the site to a file of the repository."""
    return link[2] if link[3].startswith('../') else link[0]
