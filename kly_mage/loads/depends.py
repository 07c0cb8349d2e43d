"""What, besides its bytes, decides about what a load makes of a file, as one text; and what is known of files under it.

Whatever is not surely the same makes another text, and the files are read again: one change too many costs a reading, one
too few would be a row that nobody sees.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import polars as pl

from kly_mage.common.settings import PROJECT, Settings
from kly_mage.declared.base import Source
from kly_mage.landing.files import LandingFile
from kly_mage.landing.mapping_file import MAPPINGS
from kly_mage.landing.unchanged import Recall
from kly_mage.loads import runner
from kly_mage.warehouse.choice import warehouse

_CODE = ('data_loaders', 'transformers', 'data_exporters', 'declared', 'landing', 'rows', 'loads')
_MOST_BYTES = 64 << 20  # of what stands beside the files


def recalling(settings: Settings, source: Source, *, reread: bool) -> Callable[[list[LandingFile]], Recall] | None:
    """Gives what is known of some files.

    None where somebody has put a block of his own between reading and writing: what it makes of a row may depend on
    anything.

    Args:
        reread: nothing is known of any file, so all are read; it is kept for the next load.
    """
    if not is_ours(source):
        return None
    if reread:
        return lambda files: Recall(_texts(settings, source), {})

    def work(files: list[LandingFile]) -> Recall:
        return Recall(_texts(settings, source), warehouse(settings).kept(source, files), parts_of(settings))

    return work


def parts_of(settings: Settings) -> Path:
    """The folder of what loads have left behind of large files (``landing.parted``)."""
    return settings.local_dir / 'parts'


def _texts(settings: Settings, source: Source) -> Callable[[LandingFile], str]:
    given = settings.mapping or settings.data_dir / MAPPINGS
    settled = [repr(source), settings.timezone, settings.late_days, settings.ga4_article, _bytes_of(given), _code()]
    same, of_file = _digest(settled), dict[str, str]()

    def text(file: LandingFile) -> str:
        parts: list[object] = []
        if file.mapping:
            rates = file.root / file.mapping.rates
            if str(rates) not in of_file:
                of_file[str(rates)] = _bytes_of(rates)
            parts.append(of_file[str(rates)])
        if source.versioned or source.version_columns:  # which version counts goes by when it was delivered
            parts.append(file.delivered_at.isoformat())
        return _digest([same, *parts]) if parts else same

    return text


def is_ours(source: Source) -> bool:
    """Whether rows of the source go from our loader through our hash to our exporter, in all pipelines."""
    lanes = {block.uuid: set(block.lanes) for block in runner.blocks(runner.names())}
    wired = {f'load_{source.name}': (), f'hash_{source.name}': (f'load_{source.name}',)}
    wired[f'export_{source.name}'] = (f'hash_{source.name}',)
    return all(lanes.get(uuid) == {upstream} for uuid, upstream in wired.items())


@cache
def _code() -> str:
    """The code that reads, and polars: a process runs the one it has begun with."""
    paths = [path for folder in _CODE for path in sorted((PROJECT / folder).rglob('*.py'))]
    found = hashlib.blake2b(pl.__version__.encode(), digest_size=16)
    for path in paths:
        found.update(f'\n{path.relative_to(PROJECT)}\n'.encode() + path.read_bytes())
    return found.hexdigest()


def _bytes_of(path: Path) -> str:
    """A digest of a file beside those of the sources; another text if it is not there."""
    try:
        with path.open('rb') as stream:
            return hashlib.blake2b(stream.read(_MOST_BYTES), digest_size=16).hexdigest()
    except OSError as error:
        return f'{type(error).__name__}'


def _digest(parts: list[object]) -> str:
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()
