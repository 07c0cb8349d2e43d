"""Persons who were forgotten: their rows go out of bronze, rejects and gold, and no load brings them back.

The files still have the rows, so something must tell them: a keyed hash of the id (``rows.persons``), beside which nothing
of the person stays. A load asks behind its lock, so one that began before a ``forget`` leaves the rows out as well.
"""

import secrets
from collections.abc import Iterable
from datetime import date

import polars as pl
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.declared.base import Source
from kly_mage.landing.left_out import FILE_LINE
from kly_mage.rows.persons import Forgotten, hashed
from kly_mage.warehouse.forgetting import INSTEAD, Removed, named
from kly_mage.warehouse.postgres import contents, gold_checks, recount
from kly_mage.warehouse.postgres.removal import remove_withdrawn, select_rows
from kly_mage.warehouse.postgres.tables import bronze_table

_MOST_REJECTS = 50_000  # looked at at once


def persons(cursor: Cursor, source: Source) -> Forgotten | None:
    """The persons of a source who were forgotten; None if there are none."""
    column = source.person_column
    if column is None:
        return None
    cursor.execute(
        "select (select value from ops.settings where name = 'person_key'), array_agg(person) from ops.forgotten"
        ' where source = %s',
        (source.name,),
    )
    key, hashes = cursor.fetchone()
    return Forgotten(column, key, frozenset(hashes)) if hashes else None


def forget(cursor: Cursor, sources: Iterable[Source], person: str, by: str, block: gold_checks.Block) -> list[Removed]:
    """Take out all rows of a person, and count their days anew.

    Args:
        cursor: its commit keeps all of it.
        sources: each with a ``person_column``.
        person: as the source knows him.
        by: who asks for it, for the ledger.
        block: gives the marts' SQL blocks.
    """
    chosen = list(sources)
    gold_checks.lock_marts(cursor)
    for source in chosen:  # loads wait: none may see a row whose hash is on its way out, or miss that it is forgotten
        cursor.execute(sql.SQL('lock table only {} in share row exclusive mode').format(bronze_table(source)))
    gold_checks.lock(cursor)
    cursor.execute(
        "insert into ops.settings values ('person_key', %s) on conflict (name) do nothing", (secrets.token_hex(32),)
    )
    cursor.execute("select value from ops.settings where name = 'person_key'")
    of_person = hashed(key := cursor.fetchone()[0], pl.Series([person])).item()
    removed = []
    for source in chosen:
        who = Forgotten(source.person_column or '', key, frozenset([of_person]))
        counted_on, of_source = _forget(cursor, source, person, who, by)
        if of_source.rows:
            recount.recount(cursor, block, source, counted_on)
        removed.append(of_source)
    return removed


def _forget(cursor: Cursor, source: Source, person: str, who: Forgotten, by: str) -> tuple[set[date], Removed]:
    """Take out the person's rows of a source; gives their days, too."""
    select_rows(cursor, source, sql.SQL('{} = {}').format(sql.Identifier(who.column), sql.Literal(person)))
    counted_on = recount.days_of_withdrawn(cursor, source)
    rows = remove_withdrawn(cursor, source)
    rejects = _forget_rejects(cursor, source, person, who)
    contents.note_anew(cursor, source)
    _forget_texts(cursor, source, person)
    cursor.execute(
        'insert into ops.forgotten (source, person, forgotten_by, rows_removed, rejects_removed) values (%s, %s, %s, %s, %s)'
        ' on conflict (source, person) do update set forgotten_at = excluded.forgotten_at,'
        ' forgotten_by = excluded.forgotten_by, rows_removed = forgotten.rows_removed + excluded.rows_removed,'
        ' rejects_removed = forgotten.rejects_removed + excluded.rejects_removed',
        (source.name, *who.hashes, by, rows, rejects),
    )
    return counted_on, Removed(source.name, rows, rejects)


def _forget_rejects(cursor: Cursor, source: Source, person: str, who: Forgotten) -> int:
    """Delete the rejects that name the person, by the rule by which loads leave such rows out."""
    cursor.execute(
        'select reject_id::text, row::text from bronze.rejects'
        " where source = %s and line > 0 and strpos(row::text, trim(both '\"' from to_jsonb(%s::text)::text)) > 0",
        (source.name, person),
    )
    gone = 0
    found = cursor.fetchall()
    for start in range(0, len(found), _MOST_REJECTS):
        some = pl.DataFrame(found[start : start + _MOST_REJECTS], schema=['id', 'row'], orient='row')
        theirs = some.filter(who.named(some['row']))['id'].to_list()
        cursor.execute('delete from bronze.rejects where source = %s and reject_id = any(%s::uuid[])', (source.name, theirs))
        gone += int(cursor.rowcount)
    return gone


def _forget_texts(cursor: Cursor, source: Source, person: str) -> None:
    """What loads have said of values may name the person."""
    said = {'there': named(person), 'instead': INSTEAD, 'all': 'g', 'source': source.name, 'line': FILE_LINE}
    cursor.execute(
        'update ops.loads set error = regexp_replace(error, %(there)s, %(instead)s, %(all)s),'
        ' left_out = regexp_replace(left_out::text, %(there)s, %(instead)s, %(all)s)::jsonb'
        ' where source = %(source)s and (error ~ %(there)s or left_out::text ~ %(there)s)',
        said,
    )
    cursor.execute(  # a row that names him is gone; what is wrong with a whole file stays
        'update bronze.rejects set reason = regexp_replace(reason, %(there)s, %(instead)s, %(all)s)'
        ' where source = %(source)s and line = %(line)s and reason ~ %(there)s',
        said,
    )
