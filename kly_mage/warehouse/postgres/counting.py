"""What counts of a source, in SQL: bronze, and what later deliveries have changed (the log ``bronze.<source>_corrections``).

Rows come in versions, and one of them counts, or none. Each change of what counts is a row of the log with a sign, -1 or 1,
stamped like rows; marts add them like new rows. Where a hash is over all columns, each version is a row of bronze, and the
log names it. Where it is over a key, bronze has the version that was loaded first, and the log has what the others say.

Texts, for statements that are made without a connection; each is a relation in parentheses.
"""

from kly_mage.declared.base import UNDECLARED, Source
from kly_mage.warehouse.postgres.text import identifier


def log(source: Source) -> str:
    """The quoted name of the log; for a source that ``may_be_corrected``."""
    return f'bronze.{identifier(f"{source.name}_corrections")}'


def gone(source: Source, condition: str = 'true') -> str:
    """The rows of bronze that do not count, by the changes for which a condition holds: hash, day, and why at last."""
    return (
        '(select _hashrow, _partition_date as day, (array_agg(why order by _load_id desc))[1] as last_why'
        f' from {log(source)} where {condition}'
        f' group by _hashrow, _partition_date{_version(source)} having sum(sign) < 0)'
    )


def added(source: Source, condition: str = 'true') -> str:
    """The versions that count in place of rows of bronze: their declared columns, day, stamp and load; by such changes."""
    if not source.version_columns:
        return (
            f'(select {_columns(source)}, _hashrow, _partition_date, _updated_at, _load_id'
            f' from bronze.{identifier(source.name)} where false)'
        )
    return (
        f'(select {_columns(source)}, _hashrow, _partition_date,'
        ' max(_updated_at) as _updated_at, max(_load_id) as _load_id'
        f' from {log(source)} where {condition}'
        f' group by _hashrow, _partition_date, {_columns(source)}, {UNDECLARED.name} having sum(sign) > 0)'
    )


def counting(source: Source, rows: str | None = None, condition: str = 'true') -> str:
    """The rows and versions that count: declared columns, hash, day, stamp and load.

    Args:
        rows: the rows of bronze to look at; None for all.
        condition: of the changes that are taken into account.
    """
    stored = rows or f'bronze.{identifier(source.name)}'
    columns = ', '.join(f'stored.{identifier(name)}' for name in source.names)
    own = f'select {columns}, stored._hashrow, stored._partition_date, stored._updated_at, stored._load_id'
    if not source.may_be_corrected:
        return f'({own} from {stored} as stored)'
    counts = (
        f'{own} from {stored} as stored left join {gone(source, condition)} as gone'
        ' on stored._hashrow = gone._hashrow where gone._hashrow is null'
    )
    return (
        f'({counts} union all select * from {added(source, condition)} as added)'
        if source.version_columns
        else f'({counts})'
    )


def changes(source: Source) -> str:
    """All that was changed: the declared columns of the versions, their day, sign and why, stamp and load."""
    if source.version_columns:
        return f'(select {_columns(source)}, _partition_date, sign, why, _updated_at, _load_id from {log(source)})'
    columns = ', '.join(f'stored.{identifier(name)}' for name in source.names)
    of_change = ', '.join(f'changed.{name}' for name in ('_partition_date', 'sign', 'why', '_updated_at', '_load_id'))
    return (
        f'(select {columns}, {of_change} from {log(source)} as changed'
        f' inner join bronze.{identifier(source.name)} as stored on changed._hashrow = stored._hashrow)'
    )


def _columns(source: Source) -> str:
    return ', '.join(map(identifier, source.names))


def _version(source: Source) -> str:
    """What the hash leaves out, each after a comma."""
    return ''.join(f', {identifier(column.name)}' for column in source.version_columns)
