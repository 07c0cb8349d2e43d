"""Streamlit's own page (1.56), corrected on its way out: where its server is, and how it goes from page to page."""

import functools
import importlib.util
import re
from pathlib import Path

import tornado.web

_HEAD = b'<head>\n    <meta charset="UTF-8" />'
# Streamlit's page would look for its server below the address of each page before it looks at the root, and be told 404.
_HERE = b'window.__streamlit = {BACKEND_BASE_URL: location.origin, MAIN_PAGE_BASE_URL: location.origin};'
_LINKS = Path(__file__).with_name('links.js')
# What its script takes for the question behind the `?`: what it remembers, before what the address bar says. So *Back* gave
# another page's days, and a link that changes the address another page's article.
_REMEMBERED = re.compile(rb'\b(\w)&&\1\.length>0\?\1:document\.location\.search')


@functools.cache
def script() -> tuple[str, bytes] | None:
    """The path of Streamlit's script, and the script that goes by the address bar; None if it is not as expected."""
    found = importlib.util.find_spec('streamlit')
    for file in Path(str(found and found.origin)).parent.glob('static/static/js/index.*.js'):
        text, count = _REMEMBERED.subn(b'document.location.search', file.read_bytes())
        if count == 1:
            return f'/static/js/{file.name}', text
    return None


def corrected(page: bytes) -> bytes:
    """A chunk of an answer of HTML, with our scripts if it has Streamlit's head.

    Where Streamlit's script is not as expected, links load its page anew.
    """
    ours = _HERE + (_LINKS.read_bytes() if script() else b'')
    return page.replace(_HEAD, _HEAD + b'<script>' + ours + b'</script>', 1)


class Script(tornado.web.RequestHandler):
    """Streamlit's script as the pages are to have it."""

    def get(self) -> None:
        """Send it; a browser asks each time whether it is another one."""
        found = script()
        self.set_header('Content-Type', 'text/javascript; charset=utf-8')
        self.set_header('Cache-Control', 'no-cache')
        self.finish(found[1] if found else b'')

    head = get
