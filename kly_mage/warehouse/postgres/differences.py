"""Differences between what is stored and what it should be: found by the server, said in words, one line each."""

from collections.abc import Iterator
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.declared import SOURCES
from kly_mage.declared.marts import MARTS
from kly_mage.warehouse.postgres.tables import bronze_table
from kly_mage.warehouse.report import compared


def one_picture(cursor: Cursor) -> None:
    """Compare everything as it is at one moment, and only read: loads and refreshes go on, a rebuild and ``pack`` wait.

    A table that was truncated, or a partition that took the place of others, is empty in older pictures: both are held
    before the picture is taken.
    """
    cursor.execute('set transaction isolation level repeatable read, read only')
    held = [sql.SQL('only {}').format(bronze_table(source)) for source in SOURCES.values()]
    held += [sql.SQL(table) for mart in MARTS for table in mart.tables]
    cursor.execute(sql.SQL('lock table {} in access share mode').format(sql.SQL(', ').join(held)))


def compare(
    cursor: Cursor,
    found: sql.Composable,
    truth: sql.Composable,
    key: tuple[str, ...],
    values: tuple[str, ...],
    of: str = 'bronze',
) -> Iterator[str]:
    """One line per key and value in which two relations of the same columns differ; the second is told to be ``of``."""
    names = [*key, *values]
    cursor.execute(
        sql.SQL(
            'select {found_text}, {truth_text} from (select {names} from {found}) as found'
            ' full join (select {names} from {truth}) as truth on ({found_key}) = ({truth_key})'
            ' where ({found_row}) is distinct from ({truth_row}) order by {order}'
        ).format(
            names=sql.SQL(', ').join(map(sql.Identifier, names)),
            found=found,
            truth=truth,
            found_text=texts('found', names),
            truth_text=texts('truth', names),
            found_key=columns('found', key),
            truth_key=columns('truth', key),
            found_row=sql.SQL('row({})').format(columns('found', names)),
            truth_row=sql.SQL('row({})').format(columns('truth', names)),
            order=sql.SQL(', ').join(
                sql.SQL('coalesce({}, {})').format(sql.Identifier('found', name), sql.Identifier('truth', name))
                for name in key
            ),
        )
    )
    for row in cursor:
        here, there = row[: len(names)], row[len(names) :]
        yield from compared(names, len(key), here, there, of)


def columns(table: str, names: Any) -> sql.Composed:
    """The columns of a table, in a row."""
    return sql.SQL(', ').join(sql.Identifier(table, name) for name in names)


def texts(table: str, names: Any) -> sql.Composed:
    """The columns of a table as text, in a row."""
    return sql.SQL(', ').join(sql.SQL('{}::text').format(sql.Identifier(table, name)) for name in names)


def count(cursor: Cursor, table: sql.Composable) -> int:
    """Rows of a table."""
    cursor.execute(sql.SQL('select count(*) from {}').format(table))
    return int(cursor.fetchone()[0])
