"""What lies in the landing zone and is no delivery, or another one than its name tells a person: found by names alone.

A file under a wrong name must not be silence. Named is what lies in a source's folder and is not read; in the landing zone
itself every folder of no source, and every file that ends or begins like a delivery; and a file that is read, but whose day
only a person sees in its name. Hidden names are nobody's business, and so is what lies beside: a README, a script.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from kly_mage.common.text import printable
from kly_mage.declared import SOURCES
from kly_mage.declared.base import Source
from kly_mage.landing.files import day_in_name, is_delivery
from kly_mage.landing.formats import ENDS, ENDS_TOLD
from kly_mage.landing.mapping_file import MAPPINGS, mappings

_UNFINISHED = ('.part', '.partial', '.filepart', '.crdownload', '.tmp')
_ANYBODYS = {'.json'}  # an ending that says nothing in the landing zone itself: a program's notes have it too
_ALONE = {'lost+found', '__pycache__'}  # of a file system's own top folder; beside a script, which may lie here
_DAY = re.compile(r'(?<![0-9])((?:19|20)[0-9]{2})([-_.]?)([01][0-9])\2([0-3][0-9])(?![0-9])')


@dataclass(frozen=True)
class Stray:
    """One thing in the landing zone that is not understood.

    Attributes:
        name: relative to the landing zone, fit to be shown; a folder ends in ``/``.
        reason: why, and what would be understood.
        source: whose it is or seems to be; None if nobody knows.
    """

    name: str
    reason: str
    source: str | None

    def __str__(self) -> str:
        return f'{self.name} is not understood: {self.reason}'


def not_understood(data_dir: Path, sources: Collection[str], mapping: Path | None) -> list[Stray]:
    """What is not understood of these sources' deliveries, and what belongs to no source; in the order of the names."""
    if not data_dir.is_dir():
        return []
    beside = _beside(data_dir, {given.rates for given in mappings(mapping or data_dir / MAPPINGS)})
    found = [stray for stray in beside if stray.source is None or stray.source in sources]
    for name in sources:
        found += _inside(SOURCES[name], data_dir)
    return sorted(found, key=lambda stray: stray.name)


def _beside(data_dir: Path, rates: set[str]) -> Iterator[Stray]:
    """Of the landing zone itself."""
    known = rates | set(SOURCES) | {f'{source}{end}' for source in SOURCES for end in ENDS} | _ALONE
    for path in data_dir.iterdir():
        if path.name.startswith('.') or path.name in known:
            continue
        source, shown = _resembled(path.name), printable(path.name)
        if path.is_dir():
            meant = f'is it {source}/?' if source else f'the sources are {", ".join(SOURCES)}'
            yield Stray(f'{shown}/', f'a folder of no source ({meant}); what is in it is not read', source)
        elif source or (path.name.lower().endswith(ENDS) and path.suffix not in _ANYBODYS):
            reason = f'only files in the folders of the sources are read; {_moved(path.name, source)}'
            yield Stray(shown, reason, source)


def _inside(source: Source, data_dir: Path) -> Iterator[Stray]:
    """Of a source's folder."""
    folder = data_dir / source.name
    if not folder.is_dir() or not folder.resolve().is_relative_to(data_dir.resolve()):
        return  # looking for its files says so
    for path in folder.iterdir():
        if path.name.startswith('.'):
            continue
        reason = _undated(source, path.name) if is_delivery(path.name) else _unread(path)
        if reason:
            shown = printable(str(path.relative_to(data_dir)))
            yield Stray(f'{shown}/' if path.is_dir() else shown, reason, source.name)


def _unread(path: Path) -> str:
    if path.is_dir():
        return 'a folder in the folder of a source; what is in it is not read'
    if path.name.lower().endswith(_UNFINISHED):
        return f'still on its way? It is not read before its name ends in {ENDS_TOLD}'
    if path.name.lower().endswith(ENDS):
        return f'names end in {ENDS_TOLD}, in small letters; it is not read'
    return f'only files whose names end in {ENDS_TOLD} are read'


def _undated(source: Source, name: str) -> str | None:
    """A day that a person sees in a name and we do not."""
    day = None if day_in_name(source, name) else _day(name)
    if day is None:
        return None
    return (
        f'it is read like a file without a date, because only {source.name}_{day:%Y%m%d} at the beginning of its name '
        f'would say that it holds {day}'
    )


def _day(name: str) -> date | None:
    for year, _, month, day in _DAY.findall(name):
        try:
            return date(int(year), int(month), int(day))
        except ValueError:
            continue
    return None


def _resembled(name: str) -> str | None:
    """The source that a name seems to mean: what stands before its first digit or ending is nearly its name.

    Or it is that of an export of it.
    """
    from difflib import get_close_matches  # such files are rare

    stem = re.split(r'[_\-. ]*(?:[0-9]{4,}|\.)', name.lower(), maxsplit=1)[0]
    close = get_close_matches(re.sub(r'[\- ]', '_', stem), list(SOURCES), n=1, cutoff=0.8)
    return close[0] if close else next((source.name for source in SOURCES.values() if day_in_name(source, name)), None)


def _moved(name: str, source: str | None) -> str:
    if source and name.lower().endswith(ENDS):
        return f'move it into {source}/'
    return f'its name would have to end in {ENDS_TOLD}' if source else f'the sources are {", ".join(SOURCES)}'
