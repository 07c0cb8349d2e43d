"""Rules of data quality, over the new rows of a load: decided on the frames, while the server is busy with the rows."""

import operator

import polars as pl
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.declared.base import AgainstArticle, Source
from kly_mage.warehouse import rules

_OPERATORS = {
    '<': operator.lt,
    '<=': operator.le,
    '=': operator.eq,
    '<>': operator.ne,
    '>=': operator.ge,
    '>': operator.gt,
}
_MOST_ARTICLES = 200_000  # kept in memory, some 20 MB
_MOST_WAITING = 100_000  # rows for whose articles the warehouse is then asked, at once


class Rules:
    """The rules of a source and how many new rows of one load break them.

    Args:
        cursor: the load's transaction.
    """

    def __init__(self, cursor: Cursor, source: Source, load_id: int) -> None:
        self.cursor, self.source, self.load_id = cursor, source, load_id
        self.broken = dict.fromkeys(source.rules, 0)
        self.conditions = rules.conditions(source)
        self.against = {
            rule: _Against(cursor, rule.broken) for rule in source.rules if isinstance(rule.broken, AgainstArticle)
        }

    def check(self, new: pl.DataFrame) -> None:
        """Count the new rows that break a rule; a rule that cannot be decided, for a NULL, is not broken."""
        if new.height and self.conditions:
            found = new.select(broken.sum().alias(str(n)) for n, broken in enumerate(self.conditions.values()))
            for rule, count in zip(self.conditions, found.row(0), strict=True):
                self.broken[rule] += count or 0
        for rule, against in self.against.items() if new.height else ():
            self.broken[rule] += against.check(new)

    def finish(self) -> None:
        """Leave the counts, and stop the load if a rule says so.

        Raises:
            RuleError: new rows break a rule of level ``stop``.
        """
        for rule, against in self.against.items():
            self.broken[rule] += against.finish()
        rules.hold(self.source, self.broken)
        for rule, count in self.broken.items():
            if count:
                self.cursor.execute('insert into ops.load_rules values (%s, %s, %s)', (self.load_id, rule.name, count))


class _Against:
    """One comparison of new rows with their articles.

    Articles are asked for by their keys, of many rows at once: what that costs follows them, and the articles' partitions.
    """

    def __init__(self, cursor: Cursor, rule: AgainstArticle) -> None:
        self.cursor, self.rule = cursor, rule
        self.met: pl.DataFrame | None = None  # the articles asked for so far, with NULL where one is not known
        self.waiting: list[pl.DataFrame] = []

    def check(self, new: pl.DataFrame) -> int:
        """How many of these and of the rows that waited break the rule, as far as their articles were asked for."""
        rows = new.select('content_id', value=self.rule.column).drop_nulls()
        broken = 0
        if self.met is not None:
            broken = self._broken(rows)
            rows = rows.join(self.met, on='content_id', how='anti')
        self.waiting += [rows] if rows.height else []
        if sum(frame.height for frame in self.waiting) > _MOST_WAITING:
            broken += self.finish()
        return broken

    def finish(self) -> int:
        """How many of the rows that waited break the rule."""
        if not self.waiting:
            return 0
        rows, self.waiting = pl.concat(self.waiting), []
        unmet = rows.select(pl.col('content_id').unique())
        self.cursor.execute(
            sql.SQL('select content_id, {} from gold.articles where content_id = any(%s::text[])').format(
                sql.Identifier(self.rule.of_article)
            ),
            (unmet['content_id'].to_list(),),
        )
        schema = pl.Schema({'content_id': pl.String(), 'of_article': rows.schema['value']})
        found = unmet.join(pl.DataFrame(self.cursor.fetchall(), schema=schema, orient='row'), on='content_id', how='left')
        self.met = found if self.met is None else pl.concat([self.met, found])
        broken = self._broken(rows)
        if self.met.height > _MOST_ARTICLES:
            self.met = None
        return broken

    def _broken(self, rows: pl.DataFrame) -> int:
        assert self.met is not None
        broken = _OPERATORS[self.rule.operator](pl.col('value'), pl.col('of_article'))
        return int(rows.join(self.met, on='content_id').select(broken.sum()).item())
