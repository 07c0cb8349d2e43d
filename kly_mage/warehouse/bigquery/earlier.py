"""Projects whose tables an earlier version has made: what these lack is added, and what their rows cannot say is filled in.

Each step may be done again: a command that is killed between two of them is finished by the next one.
"""

import re

from kly_mage.declared import SOURCES
from kly_mage.declared.base import Source
from kly_mage.warehouse.bigquery.client import Client
from kly_mage.warehouse.bigquery.schema import COUNTS, tables
from kly_mage.warehouse.bigquery.text import identifier, literal
from kly_mage.warehouse.ledger import CORRECTED

MARK = 'corrections'
"""Stands in ``ops.settings`` while a project of before the log of corrections is brought over."""
_TABLE = re.compile(r'create table if not exists (\S+) \(\n(.*?)\n\)', re.DOTALL)
_COLUMN = re.compile(r'^    `(\w+)` (.+?) options \(description', re.MULTILINE)


def is_before_corrections(client: Client, known: dict[str, str]) -> bool:
    """Whether a project was made before there was a log of corrections, and is not brought over yet.

    Args:
        known: its ``ops.settings``.
    """
    return MARK in known or 'rows_replaced' not in client.columns('ops.loads')


def bring_over(client: Client, location: str, rules: dict[str, str]) -> None:
    """Have all columns in the tables that are there, and in those that are not.

    Args:
        rules: by name of ``ops.settings``, the rules of sources that are noted without their whole days: those of a
            project of before the log of corrections.
    """
    if rules:
        client.run(MARKED, what='schema')
    made = tables(location)
    client.run(made, what='schema')
    for table, declared in columns(made).items():
        known = client.columns(table)
        if missing := {name: kind for name, kind in declared.items() if name.lower() not in known}:
            added = ', '.join(f'add column if not exists {identifier(name)} {kind}' for name, kind in missing.items())
            client.run(f'alter table {table} {added};', what='schema')
    client.run(counted_script(), what='schema')
    if rules:
        for source in SOURCES.values():
            if source.holds_whole_days:
                client.run(days_script(source), what='schema')
        client.run(noted_script(rules), what='schema')


def columns(made: str) -> dict[str, dict[str, str]]:
    """The columns of the tables that statements make, and their types, without those that a row always had to have."""
    return {
        table: {name: kind for name, kind in _COLUMN.findall(body) if not kind.endswith(' not null')}
        for table, body in _TABLE.findall(made)
    }


MARKED = (
    f"insert into ops.settings (name, value) select '{MARK}', 'to be brought over' from (select 1 as one)"
    f" where not exists (select 1 from ops.settings as known where known.name = '{MARK}')"
)


def counted_script() -> str:
    """The statements that say of loads before a place was told that they had no row there."""
    of_day = [f'rows_{name}' for name in COUNTS if name not in ('distinct', 'outside')]
    of_load = [f'rows_{name}' for name in (*COUNTS, *CORRECTED)]
    done = " and status = 'done'"
    return '\n'.join(
        f'update {table} set {", ".join(f"{name} = coalesce({name}, 0)" for name in names)}'
        f' where ({" or ".join(f"{name} is null" for name in names)}){further};'
        for table, names, further in (('ops.load_days', of_day, ''), ('ops.loads', of_load, done))
    )


def days_script(source: Source) -> str:
    """The statements that note of each row the day of the table of an export that brought it: files brought none.

    A load may have read the tables of several days; a row stands in that of its own, if the load has read it.
    """
    name, kinds = source.name, '|'.join(source.exports)
    return (
        f'update bronze.{name} set _file_day = _partition_date where _file_day is null and'
        " concat(cast(_load_id as string), ' ', format_date('%Y%m%d', _partition_date)) in ("
        "select concat(cast(files.load_id as string), ' ', right(files.file, 8)) from ops.load_files as files"
        f" where files.source = {literal(name)} and regexp_contains(files.file, '^({kinds})_[0-9]+$'));\n"
        f'update bronze.{name}_hashrow as known set _partition_date = stored._partition_date, _file_day = stored._file_day'
        f' from bronze.{name} as stored where known._hashrow = stored._hashrow and known._partition_date is null'
        ' and stored._partition_date is not null;'
    )


def noted_script(rules: dict[str, str]) -> str:
    """The statements that say that it is done."""
    texts = ' '.join(f'when {literal(name)} then {literal(rule)}' for name, rule in rules.items())
    names = ', '.join(map(literal, rules))
    return (
        'begin transaction;\n'
        f'update ops.settings set value = case name {texts} end where name in ({names});\n'
        f"delete from ops.settings where name = '{MARK}';\n"
        'commit transaction;'
    )
