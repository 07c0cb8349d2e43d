"""Under which addresses the editor is reached: what a ``Host`` and an ``Origin`` header may say."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kly_mage.common.errors import SettingsError

VARIABLE = 'KLY_EDITOR_HOSTS'
_ENTRY = re.compile(r'(?:(https?)://)?([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(:\d{1,5})?')
_USUAL = {'http': ':80', 'https': ':443'}


@dataclass(frozen=True)
class Hosts:
    """The server's own addresses, in lower case.

    Attributes:
        names: values a ``Host`` header may have.
        origins: values an ``Origin`` header may have.
    """

    names: frozenset[str]
    origins: frozenset[str]


def own_hosts(port: int, more: str = '') -> Hosts:
    """This machine's loopback names with their port, and what ``KLY_EDITOR_HOSTS`` (``more``) adds to them.

    An entry is ``https://kly.example.org``, as the address bar shows it; without a scheme, both count.

    Raises:
        SettingsError: an entry is no address.
    """
    names: set[str] = set()
    origins: set[str] = set()
    loopback = [f'http://{name}:{port}' for name in ('127.0.0.1', 'localhost', '[::1]')]
    for entry in [*loopback, *more.lower().replace(',', ' ').split()]:
        if not (found := _ENTRY.fullmatch(entry.rstrip('/'))):
            raise SettingsError(f'{VARIABLE}={entry!r} is no address; write it as https://kly.example.org')
        scheme, name, written = found.groups(default='')
        for one in [scheme] if scheme else _USUAL:
            place = name + written.removesuffix(_USUAL[one])  # a browser leaves the usual port out, a proxy may write it
            names |= {place} if place != name else {name, name + _USUAL[one]}
            origins.add(f'{one}://{place}')
    return Hosts(frozenset(names), frozenset(origins))


def foreign(headers: Mapping[str, str], here: Hosts, *, may_be_linked: bool) -> bool:
    """Does a browser say that a page of another site has sent this request? ``null`` is another site too.

    Args:
        headers: of the request.
        here: the server's own addresses.
        may_be_linked: another site may have a link to it, for the browser to follow: it reads, and is a page.
    """
    if (origin := headers.get('Origin')) is not None:
        return origin.lower() not in here.origins
    if headers.get('Sec-Fetch-Site', 'none') in ('none', 'same-origin'):
        return False
    follows_a_link = headers.get('Sec-Fetch-Mode') == 'navigate' and headers.get('Sec-Fetch-Dest') == 'document'
    return not (follows_a_link and may_be_linked)
