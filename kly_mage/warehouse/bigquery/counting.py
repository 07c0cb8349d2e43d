"""What counts of a source, in GoogleSQL: bronze, and what later deliveries have changed (``bronze.<source>_corrections``).

As ``warehouse/postgres/counting.py`` says: rows come in versions, and one of them counts, or none; each change of that is a
row of the log with a sign, stamped like rows, which marts add like new ones. Here the log has the columns of the row it is
about, whatever the hash is over: BigQuery has no index to find that by, and a look at bronze would read its history.

Each is a relation in parentheses.
"""

from kly_mage.declared.base import UNDECLARED, Source
from kly_mage.warehouse.bigquery.text import identifier


def log(source: Source) -> str:
    """The name of the log."""
    return f'bronze.{source.name}_corrections'


def log_columns(source: Source) -> list[str]:
    """The columns of the log that say what row, or which version of it, a change is about."""
    return ['_hashrow', *source.names, *([UNDECLARED.name] if source.version_columns else []), '_partition_date']


def gone(source: Source, condition: str = 'true') -> str:
    """The rows of bronze that do not count, by the changes for which a condition holds: hash, and the day of their file."""
    versions = ''.join(f', {identifier(column.name)}' for column in source.version_columns)
    return (
        f'(select _hashrow, max(_file_day) as _file_day from {log(source)} where {condition}'
        f' group by _hashrow, _partition_date{versions} having sum(sign) < 0)'
    )


def earlier(source: Source) -> str:
    """The rows of bronze that do not count, and why they have ceased to at last."""
    versions = ''.join(f', {identifier(column.name)}' for column in source.version_columns)
    return (
        "(select _hashrow, substr(max(concat(lpad(cast(_load_id as string), 20, '0'), why)), 21) as last_why"
        f' from {log(source)} group by _hashrow, _partition_date{versions} having sum(sign) < 0)'
    )


def counted(source: Source) -> str:
    """The relation of the rows and versions that count: a view where anything may be corrected."""
    return f'bronze.{source.name}_counted' if source.may_be_corrected else f'bronze.{source.name}'


def counting(source: Source, condition: str = 'true') -> str:
    """The rows and versions that count: declared columns, hash, day, stamp and load.

    Args:
        condition: of the rows and changes that are taken into account.
    """
    names = ', '.join(map(identifier, source.names))
    own = f'{names}, _hashrow, _partition_date, _updated_at, _load_id'
    left = f'_hashrow not in (select _hashrow from {gone(source, condition)})'
    rows = f'select {own} from bronze.{source.name} where {condition} and {left}'
    if not source.version_columns:
        return f'({rows})'
    key = f'_hashrow, _partition_date, {names}, {identifier(UNDECLARED.name)}'
    added = (
        f'select {names}, _hashrow, _partition_date, max(_updated_at) as _updated_at, max(_load_id) as _load_id'
        f' from {log(source)} where {condition} group by {key} having sum(sign) > 0'
    )
    return f'({rows} union all {added})'


def changes(source: Source) -> str:
    """All that was changed: the declared columns of the versions, their day, sign and why, stamp and load."""
    names = ', '.join(map(identifier, source.names))
    return f'(select {names}, _partition_date, sign, why, _updated_at, _load_id from {log(source)})'
