"""Rules of data quality, over the new rows of a load."""

import polars as pl
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.common.errors import RuleError
from kly_mage.declared.base import Source
from kly_mage.warehouse.postgres.tables import bronze_table


class Rules:
    """The rules of a source and how many new rows of one load break them.

    Args:
        cursor: the load's transaction.
        stamp: the load's ``_updated_at`` as a SQL literal: with its number it tells the load's rows from others.
    """

    def __init__(self, cursor: Cursor, source: Source, load_id: int, stamp: sql.Literal) -> None:
        self.cursor, self.source, self.load_id, self.stamp = cursor, source, load_id, stamp
        self.broken = {rule: 0 for rule in source.rules if not rule.is_query}

    def check(self, new: pl.DataFrame) -> None:
        """Count the new rows that break a rule; a rule that cannot be decided, for a NULL, is not broken."""
        if new.height and self.broken:
            found = new.select(pl.sql_expr(rule.broken).sum().alias(str(n)) for n, rule in enumerate(self.broken))
            for rule, count in zip(self.broken, found.row(0), strict=True):
                self.broken[rule] += count or 0

    def finish(self, has_new_rows: bool) -> None:
        """Ask the rules that look at other tables, leave the counts, and stop the load if a rule says so.

        Raises:
            RuleError: new rows break a rule of level ``stop``.
        """
        for rule in self.source.rules if has_new_rows else ():
            if rule.is_query:
                query = sql.SQL('with new_rows as (select * from {} where _updated_at = {} and _load_id = {}) {}').format(
                    bronze_table(self.source), self.stamp, sql.Literal(self.load_id), sql.SQL(rule.broken)
                )
                self.cursor.execute(query)
                self.broken[rule] = self.cursor.fetchone()[0]
        broken = {rule: count for rule, count in self.broken.items() if count}
        stops = [f'{count:,} rows break "{rule.name}"' for rule, count in broken.items() if rule.level == 'stop']
        if stops:
            raise RuleError(
                f'{self.source.name}: {"; ".join(stops)}; nothing of this load was written. Repair the files, or let the '
                f'rule warn in kly_mage/declared/{self.source.name}.py'
            )
        for rule, count in broken.items():
            self.cursor.execute('insert into ops.load_rules values (%s, %s, %s)', (self.load_id, rule.name, count))
