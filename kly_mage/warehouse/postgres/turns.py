"""Does the log of corrections make sense: what counts goes before it comes back, and of each row one version counts."""

from psycopg2 import sql

from kly_mage.declared.base import Source
from kly_mage.warehouse.postgres.tables import bronze_table, corrections_table, registry


def wrong_turns(source: Source) -> sql.Composed:
    """The query for changes that cannot be: hash, load, and what is wrong with it.

    - ``no row``: bronze has no such row
    - ``turn``: a version goes that did not count, or comes that did
    - ``count``: the signs of a row do not give one version that counts, the registry's, where bronze has but one of several
    - ``day``: it is under another day than the row
    """
    version = [column.name for column in source.version_columns]
    return sql.SQL(
        'select _hashrow, load_id, wrong from ('
        '  select _hashrow, load_id, case'
        "   when is_missing then 'no row'"
        "   when change <> case when (row_number() over turns % 2 = 1) = is_own then -1 else 1 end then 'turn'"
        '   when {has_versions} and (sum(change) over (partition by _hashrow) <> 0'
        '    or (is_own::int + sum(change) over (partition by _hashrow, version) = 1) <> is_known)'
        "    then 'count'"
        "   when {has_day} and day is distinct from day_of_row then 'day'"
        '  end as wrong from ('
        # One load may change a row in steps: what comes of them takes its turn.
        '   select changed._hashrow, changed._load_id as load_id, changed._partition_date as day,'
        '    sum(changed.sign) as change, stored._hashrow is null as is_missing, stored._partition_date as day_of_row,'
        '    bool_and({is_own}) as is_own, bool_and({is_known}) as is_known, version'
        '   from (select *, jsonb_build_array({version}) as version from {log}) as changed'
        '   left join {bronze} as stored using (_hashrow) left join {registry} as known using (_hashrow)'
        '   group by changed._hashrow, changed._load_id, changed._partition_date, stored._hashrow, stored._partition_date,'
        '    version having sum(changed.sign) <> 0'
        '  ) as change window turns as (partition by _hashrow, version order by load_id)'
        ' ) as step where wrong is not null'
    ).format(
        has_versions=sql.Literal(bool(version)),
        has_day=sql.Literal(source.day_column not in version),
        is_own=_is('stored', version),
        is_known=_is('known', version),
        version=sql.SQL(', ').join(map(sql.Identifier, version)),
        log=corrections_table(source),
        bronze=bronze_table(source),
        registry=registry(source),
    )


def _is(other: str, version: list[str]) -> sql.Composed:
    """The condition that the version of a change is that of another table."""
    same = [sql.SQL(f'changed.{{0}} is not distinct from {other}.{{0}}').format(sql.Identifier(name)) for name in version]
    return sql.SQL(' and ').join([sql.SQL('true'), *same])
