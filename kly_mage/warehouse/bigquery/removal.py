"""Rows taken out of bronze: by ``repair``. Loads only append."""

from kly_mage.common.window import Window
from kly_mage.declared.base import Source
from kly_mage.warehouse.bigquery import contents, unchanged
from kly_mage.warehouse.bigquery.client import Client
from kly_mage.warehouse.bigquery.counting import log
from kly_mage.warehouse.bigquery.text import literal

_AT_ONCE = 10_000  # hashes in one statement


def remove(client: Client, source: Source, hashes: list[str], days: Window | None) -> None:
    """Take the rows of these hashes out with all their versions, some at a time: each row goes as a whole.

    Args:
        days: what files held of them is forgotten: loads that follow note it anew. None for all.
    """
    values = {'start': days.start, 'end': days.end} if days else {}
    client.run(contents.forget(source, 'day between @start and @end' if days else 'true'), values, what='repair')
    for at in range(0, len(hashes), _AT_ONCE):
        client.run(remove_script(source), {'hashes': hashes[at : at + _AT_ONCE]}, what='repair')


def remove_script(source: Source) -> str:
    """The statements that take out the rows of ``hashes``, a parameter."""
    return '\n'.join(
        [
            'begin transaction;',
            # No load or refresh is at work beside this: neither may see a row whose hash is on its way out.
            f"update ops.{source.name}_lock set holder = 'repair' where true;",
            unchanged.dropped(source.name),
            *(f'delete from {table} where _hashrow in unnest(@hashes);' for table in tables_of(source)),
            note_removed(source),
            'commit transaction;',
        ]
    )


def tables_of(source: Source) -> list[str]:
    """The tables that have or say something of a row by its hash."""
    return [f'bronze.{source.name}_hashrow', f'bronze.{source.name}', *tables_of_versions(source)]


def tables_of_versions(source: Source) -> list[str]:
    """Those that have versions of rows, bronze left out."""
    conflicts = [f'bronze.{source.name}_conflicts'] if source.version_columns else []
    return [*conflicts, *([log(source)] if source.may_be_corrected else [])]


def note_removed(source: Source) -> str:
    """The statement that notes in the ledger how many rows of each load are in bronze no more."""
    return (
        'update ops.loads as loads set rows_removed = rows_new - coalesce(stored.amount, 0)\n'
        'from (\n'
        '    select own.load_id, count(of_load._hashrow) as amount\n'
        f'    from ops.loads as own left join bronze.{source.name} as of_load on own.load_id = of_load._load_id\n'
        f"    where own.source = {literal(source.name)} and own.status = 'done'\n"
        '    group by own.load_id\n'
        ') as stored\n'
        f"where loads.source = {literal(source.name)} and loads.status = 'done' and loads.load_id = stored.load_id;"
    )
