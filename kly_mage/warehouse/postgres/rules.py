"""Rules of data quality, over the new rows of a load."""

import polars as pl
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.common.errors import RuleError
from kly_mage.common.text import counted
from kly_mage.declared.base import AgainstArticle, Source
from kly_mage.warehouse.postgres.tables import bronze_table


class Rules:
    """The rules of a source and how many new rows of one load break them.

    Args:
        cursor: the load's transaction.
        stamp: the load's ``_updated_at`` as a SQL literal: with its number it tells the load's rows from others.
    """

    def __init__(self, cursor: Cursor, source: Source, load_id: int, stamp: sql.Literal) -> None:
        self.cursor, self.source, self.load_id, self.stamp = cursor, source, load_id, stamp
        self.broken = dict.fromkeys(source.rules, 0)

    def check(self, new: pl.DataFrame) -> None:
        """Count the new rows that break a rule; a rule that cannot be decided, for a NULL, is not broken."""
        conditions = {rule: rule.broken for rule in self.source.rules if isinstance(rule.broken, str)}
        if new.height and conditions:
            found = new.select(pl.sql_expr(text).sum().alias(str(n)) for n, text in enumerate(conditions.values()))
            for rule, count in zip(conditions, found.row(0), strict=True):
                self.broken[rule] += count or 0

    def finish(self, has_new_rows: bool) -> None:
        """Count what breaks the rules that look at articles, leave the counts, and stop the load if a rule says so.

        Raises:
            RuleError: new rows break a rule of level ``stop``.
        """
        for rule in self.source.rules if has_new_rows else ():
            if isinstance(rule.broken, AgainstArticle):
                self.broken[rule] = self._against_articles(rule.broken)
        broken = {rule: count for rule, count in self.broken.items() if count}
        stops = [
            f'{counted(count, "row breaks", "rows break")} "{rule.name}"'
            for rule, count in broken.items()
            if rule.level == 'stop'
        ]
        if stops:
            raise RuleError(
                f'{self.source.name}: {"; ".join(stops)}; nothing of this load was written. Repair the files, or let the '
                f'rule warn in kly_mage/declared/{self.source.name}.py'
            )
        for rule, count in broken.items():
            self.cursor.execute('insert into ops.load_rules values (%s, %s, %s)', (self.load_id, rule.name, count))

    def _against_articles(self, against: AgainstArticle) -> int:
        self.cursor.execute(
            sql.SQL(
                'select count(*) from {} as stored inner join gold.articles as article using (content_id)'
                ' where stored._updated_at = {} and stored._load_id = {} and stored.{} {} article.{}'
            ).format(
                bronze_table(self.source),
                self.stamp,
                sql.Literal(self.load_id),
                sql.Identifier(against.column),
                sql.SQL(against.operator),
                sql.Identifier(against.of_article),
            )
        )
        return int(self.cursor.fetchone()[0])
