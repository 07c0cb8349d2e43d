"""The part of a load's script that is about rows bronze knows with other numbers: kept as conflicts, or made to count.

As ``warehouse/postgres/conflicts.py``.
"""

from kly_mage.declared.base import Source
from kly_mage.warehouse.bigquery.counting import log, log_columns
from kly_mage.warehouse.bigquery.text import identifier, literal

PLACE = ('_delivered_at', '_file', '_line')
"""Where a row stood, in the registry: what is greater is newer."""


def further_versions(source: Source, near: str, near_target: str, timezone: str) -> str:
    """The statements, behind those that have placed and inserted the rows; of a source with ``version_columns``.

    Args:
        near: the condition on the registry under the name ``known`` that leaves out the days of no row of the load.
        near_target: the same under the name ``target``.
    """
    if source.applies_restatements:
        return _restated(source, near, near_target, timezone)
    return _CONFLICTS.format(**_parts(source), counted=_same('counted', _versions(source)))


def _versions(source: Source) -> list[str]:
    return [column.name for column in source.version_columns]


def _parts(source: Source) -> dict[str, str]:
    """What both ways have in common."""
    versions = _versions(source)
    kept = ['_hashrow', *source.names, '_undeclared', *(f'counted_{n}' for n in versions)]
    kept += ['_partition_date', *PLACE, '_undeclared_values']
    return {
        'name': source.name,
        'columns': ', '.join(map(identifier, kept)),
        'values': ', '.join(f'placed.{identifier(n)}' for n in kept),
        'same': _same('before', versions),
        'log': log(source),
        'versions': ', '.join(map(identifier, versions)),
    }


def accepted(source: Source) -> str:
    """How many of the versions that are met, and wait, somebody has accepted."""
    versions = _versions(source)
    return (
        f'(select count(*) from placed inner join bronze.{source.name}_conflicts as further'
        f" on placed._hashrow = further._hashrow and {_same('further', versions)} where placed._place = 'conflicting'"
        ' and further.accepted_at is not null)'
    )


def _restated(source: Source, near: str, near_target: str, timezone: str) -> str:
    versions = _versions(source)
    moved, own = [*PLACE, *versions], [*log_columns(source), *PLACE]
    gone = [identifier(f'was_{name}' if name in moved else name) for name in own]
    if source.day_column in versions:  # a version may be of another day
        gone[own.index('_partition_date')] = f'date({identifier(f"was_{source.day_column}")}, {literal(timezone)})'
    return _RESTATED.format(
        **_parts(source),
        near=near,
        near_target=near_target,
        counted=_same('counted', versions),
        own=', '.join(map(identifier, own)),
        newest=', '.join(f'newest.{identifier(name)}' for name in own),
        were=', '.join(f'known.{identifier(name)} as {identifier(f"was_{name}")}' for name in moved),
        was=', '.join(gone),
        differs=' or '.join(f'{identifier(name)} is distinct from {identifier(f"was_{name}")}' for name in versions),
        moved=', '.join(f'{identifier(name)} = incoming.{identifier(name)}' for name in moved),
        is_known=_same('known', versions),
        version=version_text('placed', versions),
        further_version=version_text('further', versions),
    )


def version_text(table: str, versions: list[str]) -> str:
    """A version as one text."""
    return f'to_json_string([{", ".join(f"cast({table}.{identifier(n)} as string)" for n in versions)}])'


def _same(other: str, versions: list[str]) -> str:
    """The condition that a row of another table has the same version as one of ``placed``."""
    return ' and '.join(f'{other}.{identifier(n)} is not distinct from placed.{identifier(n)}' for n in versions)


_CONFLICTS = """
insert into bronze.{name}_conflicts ({columns}, _updated_at, _load_id)
select {values}, v_stamp, v_load_id
from placed
left join bronze.{name}_conflicts as before
    on placed._hashrow = before._hashrow and {same}
-- A version that has counted before is no other one: bronze or the log has it.
left join (select distinct _hashrow, {versions} from {log} where sign < 0) as counted
    on placed._hashrow = counted._hashrow and {counted}
where placed._place = 'conflicting' and before._hashrow is null and counted._hashrow is null;
"""
_RESTATED = """
-- Of the further versions: which are new, as none is that has counted before; and behind which another row of its key
-- stands in its file, which is no restatement: somebody has to decide.
create temp table met as
select
    placed._seq,
    before._hashrow is null and counted._hashrow is null as is_new,
    (before._hashrow is not null or counted._hashrow is null) and (
        first._line < placed._line or (placed._delivered_at = known._delivered_at and placed._file = known._file)
    ) as is_question
from placed
inner join bronze.{name}_hashrow as known on placed._hashrow = known._hashrow and {near}
inner join (
    select _hashrow, _delivered_at, _file, min(_line) as _line from placed
    where _reject is null group by _hashrow, _delivered_at, _file
) as first on placed._hashrow = first._hashrow and placed._delivered_at = first._delivered_at and placed._file = first._file
left join bronze.{name}_conflicts as before on placed._hashrow = before._hashrow and {same}
left join (select distinct _hashrow, {versions} from {log} where sign < 0) as counted
    on placed._hashrow = counted._hashrow and {counted}
where placed._place = 'conflicting';

-- The version of the newest file counts, of its rows the first; what has come from an older one changes nothing.
create temp table later as
select {newest}, {were}
from (
    select {own} from placed where _reject is null and true
    qualify row_number() over (partition by _hashrow order by _delivered_at desc, _file desc, _line) = 1
) as newest
inner join bronze.{name}_hashrow as known on newest._hashrow = known._hashrow and {near}
where
    newest._delivered_at > known._delivered_at
    or (newest._delivered_at = known._delivered_at and newest._file > known._file);

if exists (select 1 from later) then
insert into {log} ({own}, sign, why, _updated_at, _load_id)
select {was}, -1, 'superseded', v_stamp, v_load_id from later where {differs}
union all
select {own}, 1, 'restated', v_stamp, v_load_id from later where {differs};

merge into bronze.{name}_hashrow as target
using (select * from later) as incoming
on target._hashrow = incoming._hashrow and {near_target}
when matched then update set {moved};
end if;

if exists (select 1 from met) then
create temp table settled as
select
    placed._seq,
    placed._hashrow,
    {version} as version,
    met.is_new,
    case when {is_known} then 'restated' when met.is_question then 'conflicting' else 'superseded' end as place,
    ({is_known}) or not met.is_question as is_restatement
from placed
inner join met on placed._seq = met._seq
inner join bronze.{name}_hashrow as known on placed._hashrow = known._hashrow and {near};

merge into bronze.{name}_conflicts as further
using (select * from settled where not is_new) as settled
on further._hashrow = settled._hashrow and {further_version} = settled.version
when matched then update set is_restatement = settled.is_restatement;

insert into bronze.{name}_conflicts ({columns}, is_restatement, _updated_at, _load_id)
select {values}, settled.is_restatement, v_stamp, v_load_id
from placed inner join settled on placed._seq = settled._seq
where settled.is_new;

merge into placed
using (select * from settled) as settled
on placed._seq = settled._seq
when matched then update set _place = settled.place;
end if;
"""
