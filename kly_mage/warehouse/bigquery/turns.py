"""Does the log of corrections make sense: what counts goes before it comes back, and of each row one version counts.

The same questions as ``warehouse/postgres/turns.py``, for the query of ``verify``.
"""

from kly_mage.declared.base import Source
from kly_mage.warehouse.bigquery.counting import log
from kly_mage.warehouse.bigquery.text import identifier


def wrong(source: Source) -> str:
    """The query for changes that cannot be: a line to sort by, and hash, load and what is wrong as cells."""
    versions = [identifier(column.name) for column in source.version_columns]
    version = f'to_json_string([{", ".join(f"cast(changed.{name} as string)" for name in versions)}])' if versions else "''"
    by_row = 'sum(change) over (partition by _hashrow)'
    by_version = 'sum(change) over (partition by _hashrow, version)'
    turn = 'row_number() over (partition by _hashrow, version order by load_id)'
    count = f'{by_row} <> 0 or (if(is_own, 1, 0) + {by_version} = 1) <> is_known' if versions else 'false'
    day = 'day is distinct from day_of_row' if source.day_column not in {c.name for c in source.version_columns} else 'false'
    return (
        'select concat(_hashrow, cast(load_id as string)) as key,'
        ' to_json_string([_hashrow, cast(load_id as string), wrong]) as cells from ('
        "select _hashrow, load_id, case when is_missing then 'no row'"
        f" when change <> if((mod({turn}, 2) = 1) = is_own, -1, 1) then 'turn'"
        f" when {count} then 'count' when {day} then 'day' end as wrong from ("
        # One load may change a row in steps: what comes of them takes its turn.
        ' select changed._hashrow, changed._load_id as load_id, changed._partition_date as day,'
        f' sum(changed.sign) as change, {version} as version, logical_or(stored._hashrow is null) as is_missing,'
        f' max(stored._partition_date) as day_of_row, logical_and({_is("stored", versions)}) as is_own,'
        f' logical_and({_is("known", versions)}) as is_known from {log(source)} as changed'
        f' left join bronze.{source.name} as stored on changed._hashrow = stored._hashrow'
        f' left join bronze.{source.name}_hashrow as known on changed._hashrow = known._hashrow'
        ' group by changed._hashrow, changed._load_id, changed._partition_date, version having change <> 0'
        ')) where wrong is not null'
    )


def as_counted(source: Source) -> str:
    """The rows of bronze with the values that the registry has of them: those of the version that last came to count."""
    versions = [identifier(column.name) for column in source.version_columns]
    if not versions:
        return f'bronze.{source.name}'
    counted = ', '.join(f'if(restated._hashrow is null, stored.{name}, restated.{name}) as {name}' for name in versions)
    return (
        f'(select stored._hashrow, stored._updated_at, {counted} from bronze.{source.name} as stored left join ('
        f'select _hashrow, {", ".join(versions)} from {log(source)} where sign > 0'
        ' qualify row_number() over ('
        'partition by _hashrow order by _load_id desc, _delivered_at desc, _file desc, _line desc) = 1'
        ') as restated on stored._hashrow = restated._hashrow)'
    )


def _is(other: str, versions: list[str]) -> str:
    """The condition that the version of a change is that of another table."""
    return ' and '.join(['true', *(f'changed.{name} is not distinct from {other}.{name}' for name in versions)])
