"""``forget``: a person's rows go, and their days are counted anew, in one transaction.

As ``warehouse/postgres/forgotten.py``. No job is given a person's id, only its hash: BigQuery remembers for months what jobs
were asked.
"""

import re
import secrets
from collections.abc import Collection, Iterable
from typing import Any

import polars as pl

from kly_mage.common.settings import Settings
from kly_mage.declared.base import Source
from kly_mage.declared.marts import DAILY_SUMMARY, mart_of
from kly_mage.landing.left_out import FILE_LINE
from kly_mage.rows.persons import hashed
from kly_mage.warehouse.bigquery import at_work, contents, persons
from kly_mage.warehouse.bigquery.client import Client
from kly_mage.warehouse.bigquery.fixed import once
from kly_mage.warehouse.bigquery.removal import note_removed, tables_of, tables_of_versions
from kly_mage.warehouse.bigquery.text import identifier, literal
from kly_mage.warehouse.bigquery.truth import alone, recounted
from kly_mage.warehouse.forgetting import Removed, without

KEY = f'select {persons.KEY} as person_key'
KEYED = once("select 'person_key' as name, @fresh_key as value")
# What has been said of values, per row of a ledger: of loads, and of files that were left out.
ERRORS = "select load_id, error, left_out from ops.loads where source = @source and (error <> '' or left_out <> '{}')"
FILES = f'select reject_id, reason from bronze.rejects where source = @source and line = {FILE_LINE}'


def forget(client: Client, sources: Iterable[Source], person: str, by: str, *, keep: bool) -> list[Removed]:
    """Take out all rows of a person, and count their days anew.

    Args:
        sources: each with a ``person_column``.
        person: as the source knows him.
        by: who asks for it, for the ledger.
        keep: False only finds out what would go.
    """
    chosen, fresh = list(sources), secrets.token_hex(32)
    if keep:
        client.run(KEYED, {'fresh_key': fresh}, what='forget')
    (row,) = client.run(KEY, what='forget')
    key = row['person_key'] or fresh
    values: dict[str, Any] = {'persons': [hashed(key, pl.Series([person])).item()], 'person_key': key}
    if not keep:
        return _removed(client.run(look_script(chosen), values, what='forget'))
    for source in chosen:
        values |= _texts(client, source, person)
    done = _removed(client.run(forget_script(chosen), values | {'forgotten_by': by}, what='forget'))
    _drop_staged(client, chosen)
    return done


def holding_still(settings: Settings) -> list[str]:
    """What still holds rows that were taken out, in words, but for what any warehouse leaves alone."""
    kept = 'BigQuery itself keeps what was deleted for 7 days of time travel, and 7 more of fail-safe'
    if settings.ga4_dataset is None:
        return [kept]
    return [f"the tables of {settings.ga4_dataset} are Google's export: what they hold is deleted there, and in GA4", kept]


def _removed(rows: list[dict[str, Any]]) -> list[Removed]:
    return [Removed(row['source'], row['rows_removed'], row['rejects_removed']) for row in rows]


def look_script(sources: Collection[Source]) -> str:
    """The statements that say what would go. Their parameters: ``person_key`` and ``persons``, his hash in a list."""
    steps = [step for source in sources for step in _found(source)]
    return '\n'.join([*_declared(sources), 'begin transaction;', *steps, 'commit transaction;', _told(sources)])


def forget_script(sources: Collection[Source]) -> str:
    """The statements that take it out. Further parameters: ``forgotten_by``, and for each source those of ``_texts``."""
    steps = [step for source in sources for step in (*_found(source), *_taken_out(source))]
    marts = [mart.name for source in sources if (mart := mart_of(source.name))]
    return alone('forget', _declared(sources), [*marts, DAILY_SUMMARY.name], steps, _told(sources))


def _declared(sources: Collection[Source]) -> list[str]:
    """The variables of both scripts, the second of which calls those of a source after it."""
    own = persons.VARIABLES.splitlines()
    for source in sources:
        own += [f'declare v_{each}_{source.name} int64 default 0;' for each in ('rows', 'rejects')]
        own.append(f'declare v_days_{source.name} array<date>;')
    return own


def _told(sources: Collection[Source]) -> str:
    told = (
        f'select {literal(name)} as source, v_rows_{name} as rows_removed, v_rejects_{name} as rejects_removed'
        for name in (source.name for source in sources)
    )
    return f'select * from ({" union all ".join(told)}) order by source;'


def _found(source: Source) -> list[str]:
    """The rows of a person as a temporary table, and how many they are."""
    own, name = persons.is_among(identifier(source.person_column or '')), source.name
    beside = [f'select _hashrow, _partition_date, false from {each} where {own}' for each in tables_of_versions(source)]
    rows = [f'select _hashrow, _partition_date as day, true as is_stored from bronze.{name} where {own}', *beside]
    return [
        'set v_person_key = @person_key;',
        'set v_persons = @persons;',
        f'create temp table withdrawn_{name} as\n' + '\nunion all\n'.join(rows) + ';',
        f'set v_rows_{name} = (select countif(is_stored) from withdrawn_{name});',
        f'set v_days_{name} = array(select distinct day from withdrawn_{name} where day is not null);',
        f'set v_rejects_{name} = (select count(*) from bronze.rejects where {_rejects(source)});',
    ]


def _rejects(source: Source) -> str:
    """The condition on a reject that it names one of ``v_persons``, by the rule by which loads leave such rows out."""
    raw = persons.names(source, """concat('{"row": ', raw, '}')""")
    return f'source = {literal(source.name)} and line <> {FILE_LINE} and ifnull({raw}, false)'


def _taken_out(source: Source) -> list[str]:
    name, own, mart = source.name, literal(source.name), mart_of(source.name)
    gone = f'_hashrow in (select withdrawn._hashrow from withdrawn_{name} as withdrawn)'
    steps = [f'delete from {table} where {gone};' for table in tables_of(source)]
    steps.append(f'delete from bronze.rejects where {_rejects(source)};')
    steps += [note_removed(source), contents.note_anew(source), _SAID.format(source=own, name=name)]
    steps.append(_NOTED.format(source=own, name=name))
    if mart:
        steps += [f'if array_length(v_days_{name}) > 0 then', *recounted(mart, f'v_days_{name}'), 'end if;']
    return steps


def _texts(client: Client, source: Source, person: str) -> dict[str, list[str]]:
    """The parameters with what has been said of values, where it names the person, as it is to be said instead."""
    values = dict[str, list[str]]()
    for statement, names in ((ERRORS, ('loads', 'errors', 'faults')), (FILES, ('files', 'reasons'))):
        rows = [
            [str(value or '') for value in row.values()]
            for row in client.run(statement, {'source': source.name}, what='forget')
        ]
        now = [[row[0], *(without(person, text) for text in row[1:])] for row in rows]
        changed = [each for each, row in zip(now, rows, strict=True) if each != row]
        values |= {f'{name}_{source.name}': [each[at] for each in changed] for at, name in enumerate(names)}
    return values


def _drop_staged(client: Client, sources: Collection[Source]) -> None:
    """Drop what loads that are no more have left staged; those at work drop their own, and take nothing of a person."""
    names = {source.name: re.compile(rf'{re.escape(source.name)}_(\d+)') for source in sources}
    working = {f'{row["source"]}_{row["load_id"]}' for row, is_at_work in at_work.begun(client, [*names]) if is_at_work}
    for table in client.tables('staging'):
        if table not in working and any(pattern.fullmatch(table) for pattern in names.values()):
            client.drop(f'staging.{table}')


_SAID = """\
if array_length(@loads_{name}) > 0 then
update ops.loads as told set error = said.error, left_out = said.left_out
from (
    select
        cast(load_id as int64) as load_id, nullif(@errors_{name}[offset(place)], '') as error,
        nullif(@faults_{name}[offset(place)], '') as left_out
    from unnest(@loads_{name}) as load_id with offset as place
) as said
where told.source = {source} and told.load_id = said.load_id;
end if;
if array_length(@files_{name}) > 0 then
update bronze.rejects as told set reason = said.reason
from (
    select reject_id, @reasons_{name}[offset(place)] as reason
    from unnest(@files_{name}) as reject_id with offset as place
) as said
where told.source = {source} and told.reject_id = said.reject_id;
end if;"""
_NOTED = """\
merge into ops.forgotten as known
using (
    select {source} as source, person, v_rows_{name} as amount, v_rejects_{name} as rejects from unnest(v_persons) as person
) as now
on known.source = now.source and known.person = now.person
when matched then update set
    forgotten_at = current_timestamp(), forgotten_by = @forgotten_by,
    rows_removed = known.rows_removed + now.amount, rejects_removed = known.rejects_removed + now.rejects
when not matched then insert (source, person, forgotten_at, forgotten_by, rows_removed, rejects_removed)
values (now.source, now.person, current_timestamp(), @forgotten_by, now.amount, now.rejects);"""
