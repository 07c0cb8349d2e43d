"""The last line of a file that has no end: it may be cut, ``…,12`` of ``…,1234.50``, and look as good as any other.

Many exporters never write that end, so the file itself is fine; but nobody can tell from it whether the row is whole. So
this one row is held back as a reject, until the file is delivered with its end, or somebody says that the row is whole
(``rejects --retry``).
"""

import hashlib
import json
from collections.abc import Callable, Collection

import polars as pl

REASON = 'in the last line of its file, which has no end: it may be cut'


def hold_back(frame: pl.DataFrame, line: int, text: pl.DataFrame) -> pl.DataFrame:
    """The last frame of such a file with that row rejected; it stays typed. What is rejected anyway stays as it is.

    Args:
        line: where the file's last record begins.
        text: the last row as the file has it.
    """
    last = (pl.col('_line') == line) & pl.col('_reject').is_null()
    if not frame.select(last.any()).item():  # it is an empty line, or cannot be used for another reason
        return frame
    row = text.row(-1, named=True)
    column = text.columns[-1]
    told = json.dumps({'column': column, 'value': row[column], 'reason': REASON, 'row': row}, ensure_ascii=False)
    return frame.with_columns(pl.when(last).then(pl.lit(told)).otherwise('_reject').alias('_reject'))


def take(frame: pl.DataFrame, whole: Callable[[], Collection[str]]) -> pl.DataFrame:
    """The frame with those rows taken for good of which somebody has said that they are whole.

    Args:
        whole: gives the ids (``reject_id``) of their rejects; only asked where a row is held back.
    """
    if frame['_reject'].null_count() == frame.height:
        return frame
    reason = pl.col('_reject').str.json_path_match('$.reason')
    held = frame.with_row_index('_row').filter(reason == REASON).select('_row', '_file', '_line', '_reject')
    taken = [row for row, *place in held.iter_rows() if reject_id(*place) in whole()]
    if not taken:
        return frame
    is_taken = pl.Series(range(frame.height)).is_in(taken)
    return frame.with_columns(pl.when(~is_taken).then('_reject').alias('_reject'))


def reject_id(file: str, line: int, reject: str) -> str:
    """The id by which ``bronze.rejects`` knows a reject: an MD5 over these, as 32 hexadecimal digits."""
    return hashlib.md5(f'{file}\x1f{line}\x1f{reject}'.encode(), usedforsecurity=False).hexdigest()
