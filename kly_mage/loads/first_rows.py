"""What blocks show in Mage where handing on every row would serve nobody: the first of them, and a word that says so.

Between two blocks Mage writes a frame as Parquet and reads it again, and pandas keeps it in twice the memory: of a day of a
million rows that was most of the time, and 2 GB. So the blocks of a lane hand on the first rows of a large day, marked by a
column, and the exporter that is given such a frame reads, hashes and loads all rows, slice by slice, as the command line
does. The same goes for files that have not changed since they were loaded: there is nothing to hand on, but something to
see.

That is so as long as nobody could miss the other rows: no other block or chart takes them, and the pages of the three blocks
are as they were delivered. An edited page gets all rows, in one frame.
"""

import ast
import hashlib
from collections.abc import Iterable
from itertools import islice
from typing import Any

import polars as pl

from kly_mage.common.errors import PipelineError
from kly_mage.common.settings import PROJECT
from kly_mage.common.text import counted
from kly_mage.declared.base import Source
from kly_mage.landing import readers
from kly_mage.landing.left_out import FILE_LINE
from kly_mage.loads import runner
from kly_mage.loads.depends import is_ours
from kly_mage.rows.frames import SLICE_ROWS

COLUMN = '_first_rows'
"""Marks a frame; in it stands which block takes all rows."""
LARGE = SLICE_ROWS  # of which pandas and Mage keep about 100 MB
SHOWN = 1_000
_LOOKED_AT = 3  # frames, for rows to show: an undated file that has the days at its end is not read through for that
# What each kind of page does, as ``_digest`` tells it; `tests/loads/test_first_rows.py` says what to write here.
DELIVERED = {
    'data_loaders/load_{}.py': '371169ef6db2b12b',
    'transformers/hash_{}.py': '87c83a1cc35ad228',
    'data_exporters/export_{}.py': '1ed35b6547fcd972',
}


def are_enough(source: Source) -> bool:
    """Whether nobody but our own exporter could miss rows of this source that are not handed on."""
    takers = runner.takers()
    beside = (takers.get(f'load_{source.name}', set()) - {f'hash_{source.name}'}) | (
        takers.get(f'hash_{source.name}', set()) - {f'export_{source.name}'}
    )
    return not beside and is_ours(source) and all(digest(source, page) == told for page, told in DELIVERED.items())


def digest(source: Source, page: str) -> str:
    """What the page of a block does, whatever its comments and docstrings say, and whichever source it is about."""
    tree = ast.parse((PROJECT / page.format(source.name)).read_text('utf-8'))
    for node in ast.walk(tree):
        body = getattr(node, 'body', None)
        if isinstance(node, ast.Module | ast.FunctionDef) and ast.get_docstring(node) is not None and body:
            del body[0]
    return hashlib.blake2b(ast.unparse(tree).replace(source.name, '{}').encode(), digest_size=8).hexdigest()


def up_to(source: Source, frames: Iterable[pl.DataFrame], most: int | None) -> tuple[pl.DataFrame, bool]:
    """The rows of the frames as one, or the first ones if there are more than ``most``; and whether they are all.

    What is said of files, in rows without a value, comes last: people look at the first rows.
    """
    found, rows = list[pl.DataFrame](), 0
    for frame in frames:
        found.append(frame)
        rows += frame.height
        if most is not None and rows > most:
            return readers.whole(source, found), False
    every = readers.whole(source, found)
    if every.height <= SLICE_ROWS:  # a load takes so many at once, and hears of all files before it goes on
        every = every.sort(pl.col('_line') == FILE_LINE, maintain_order=True)
    return every, True


def some(frames: Iterable[pl.DataFrame]) -> Iterable[pl.DataFrame]:
    """As many frames as are looked at for rows to show."""
    return islice(frames, _LOOKED_AT)


def of_files(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows that files hold; the others tell something about a file."""
    return rows.filter(pl.col('_line') != FILE_LINE)


def marked(source: Source, rows: pl.DataFrame) -> pl.DataFrame:
    """The first rows, marked as such."""
    return of_files(rows).head(SHOWN).with_columns(pl.lit(f'export_{source.name} takes all').alias(COLUMN))


def told(source: Source, rows: pl.DataFrame) -> str:
    """What a block says that shows these."""
    return f'the first {counted(rows.height, "row")} shown here, all taken by export_{source.name}'


def are_all(source: Source, frame: Any) -> bool:
    """Whether the frame that a block was given, pandas or polars, holds every row.

    Raises:
        PipelineError: it does not, and somebody might miss them now: a page was edited since the loader has run.
    """
    if COLUMN not in getattr(frame, 'columns', ()):
        return True
    if not are_enough(source):
        raise PipelineError(f'blocks were edited since load_{source.name} has run: run it again, for all its rows')
    return False
