"""Which rows are of persons who were forgotten, told by a keyed hash of what the source knows them by.

What is kept of a person is SHA-256 over a key of this database and the id: no id can be read from it. Whoever has the
database, and with it the key, can still find out whether an id that he knows was forgotten, as every load has to.
"""

from dataclasses import dataclass

import polars as pl
import polars_hash as plh

STRINGS = r'"(?:[^"\\]|\\.)*"'
BETWEEN = r'\\[nrt"\\/]|[^0-9A-Za-z._~+/=@-]'


@dataclass(frozen=True)
class Forgotten:
    """The persons of a source who were forgotten.

    Attributes:
        column: what the source knows persons by.
        key: of the hashes.
        hashes: one per person.
    """

    column: str
    key: str
    hashes: frozenset[str]

    def part(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The rows of others, and those of the forgotten; rejected ones too, by what their raw text holds."""
        ids = self._among(frame[self.column].unique().drop_nulls())
        is_theirs = frame[self.column].is_in(ids.implode()).fill_null(False)
        rejected = frame['_reject'].is_not_null()
        if rejected.any():
            is_theirs |= rejected & self._named(frame['_reject'])
        return frame.filter(~is_theirs), frame.filter(is_theirs)

    def named(self, raw: pl.Series) -> pl.Series:
        """Which of these rejected rows, the raw row as JSON each, name one of the forgotten."""
        return self._named(pl.select(pl.concat_str(pl.lit('{"row": '), pl.lit(raw), pl.lit('}'))).to_series())

    def spoken_of(self, texts: pl.Series) -> list[str]:
        """The ids of the forgotten that stand in these texts as words of their own."""
        return self._among(texts.str.replace_all(BETWEEN, ' ').str.split(' ').explode().drop_nulls().unique()).to_list()

    def _named(self, rejects: pl.Series) -> pl.Series:
        """A row that was taken apart names its person in the column; any other may name him anywhere."""
        said = pl.DataFrame({'i': pl.int_range(len(rejects), eager=True), 'reject': rejects})
        own = pl.col('reject').str.json_path_match(f'$.row.{self.column}')
        words = pl.col('reject').str.extract_all(STRINGS).list.eval(pl.element().str.strip_chars('"'))
        pieces = pl.col('reject').str.replace_all(BETWEEN, ' ').str.split(' ')
        apart = pl.col('reject').str.contains(f'"{self.column}":', literal=True)
        anywhere = pl.when(~apart).then(pl.concat_list(words, pieces))
        told = said.select('i', pl.concat_list(own, anywhere.fill_null([])).alias('id')).explode('id').drop_nulls()
        found = told.filter(pl.col('id').is_in(self._among(told['id'].unique()).implode()))['i']
        return said['i'].is_in(found.unique().implode())

    def _among(self, ids: pl.Series) -> pl.Series:
        return ids.filter(hashed(self.key, ids).is_in(list(self.hashes)))


def hashed(key: str, ids: pl.Series) -> pl.Series:
    """What is kept of persons: 64 hexadecimal digits each."""
    return pl.select(plh.concat_str(pl.lit(key), pl.lit(ids)).chash.sha2_256()).to_series()
