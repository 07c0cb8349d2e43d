"""Which objects of a bucket are deliveries of which source, and which have a name that no file of the landing zone may have.

Below the prefix as in the landing zone: a folder per source. Directly at it, too, under names that say whose they are, as Ad
Manager puts Data Transfer files into a bucket of its own.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from kly_mage.common.text import printable
from kly_mage.declared import SOURCES
from kly_mage.declared.base import Source
from kly_mage.fetch.bucket import Bucket, Remote
from kly_mage.landing.files import is_delivery, kind_in_name
from kly_mage.landing.formats import ENDS

_BYTES, _SHOWN = 255, 120  # of a file's name; characters of it that are shown


@dataclass(frozen=True)
class Delivery:
    """An object, and the file of the landing zone that it becomes."""

    remote: Remote
    bucket: Bucket
    source: Source
    name: str

    @property
    def file(self) -> str:
        """The file's name in the landing zone."""
        return f'{self.source.name}/{self.name}'


@dataclass
class Found:
    """What a look at buckets has found.

    Attributes:
        deliveries: by the name of their source, then their own.
        refused: what is not copied and should be looked at, a line each.
        left: how many objects are no deliveries by their names.
        urls: of all objects that were seen.
    """

    deliveries: list[Delivery] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    left: int = 0
    urls: set[str] = field(default_factory=set)


def find(buckets: list[Bucket]) -> Found:
    """All deliveries in these buckets.

    Raises:
        FetchError: Cloud Storage refuses it.
    """
    found = Found()
    for bucket in buckets:
        objects, folders = bucket.inside()
        for remote in objects:
            _sort(found, bucket, remote, _named(remote.name.rpartition('/')[2]))
        for source in SOURCES.values():
            if (folder := f'{source.name}/') not in folders:
                continue
            objects, inner = bucket.inside(folder)
            for remote in objects:
                _sort(found, bucket, remote, source)
            for name in inner:
                found.refused.append(_refused(f'{bucket.url}{folder}{name}', 'a folder in the folder of a source'))
    _part_twins(found)
    return found


def _named(name: str) -> Source | None:
    """Whose delivery a file in no folder is, as its name says."""
    for source in SOURCES.values():
        if kind_in_name(source, name) is not None or name in (f'{source.name}{end}' for end in ENDS):
            return source
    return None


def _sort(found: Found, bucket: Bucket, remote: Remote, source: Source | None) -> None:
    name = remote.name.rpartition('/')[2]
    found.urls.add(remote.url)
    if source is None or (not name and not remote.size):  # what a console makes of an empty folder
        found.left += bool(name)
    elif reason := _reason(remote, name):
        found.refused.append(_refused(remote.url, reason))
    elif is_delivery(name):
        found.deliveries.append(Delivery(remote, bucket, source, name))
    else:
        found.left += 1


def _reason(remote: Remote, name: str) -> str | None:
    """Why an object's name cannot be a file's, or its bytes not be checked; None if they can."""
    if name in ('', '.', '..'):
        return 'no name of a file'
    if printable(name) != name:
        return 'its name holds characters that cannot be shown'
    if len(name.encode()) > _BYTES:
        return f'its name has more than {_BYTES} bytes'
    if remote.crc32c is None:
        return 'it has no checksum, as what is encrypted with a key of your own'
    return None


def _part_twins(found: Found) -> None:
    """Refuse those that would be one file where the case of letters, or how accents are spelled, does not count."""
    by_name = defaultdict[str, list[Delivery]](list)
    for each in found.deliveries:
        by_name[unicodedata.normalize('NFC', each.file.casefold())].append(each)
    found.deliveries = sorted((same[0] for same in by_name.values() if len(same) == 1), key=lambda each: each.file)
    for same in by_name.values():
        found.refused += _twins(same) if len(same) > 1 else []


def _twins(same: list[Delivery]) -> Iterator[str]:
    for each, other in zip(same, (*same[1:], same[0]), strict=True):
        yield _refused(each.remote.url, f'{_shown(other.remote.url)} would be the same file')


def _refused(url: str, reason: str) -> str:
    return f'{_shown(url)} is not copied: {reason}'


def _shown(url: str) -> str:
    return printable(url, _SHOWN)
