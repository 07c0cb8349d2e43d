"""The script of one source's account: its files' rows beside its tables, in one transaction, which is one picture.

It ends in the lines of ``account_told.py``: a ``kind`` and ``cells``, a JSON list of texts, which ``account.py`` reads.
Of some days it looks at the rows of bronze that came in while the registry says the rows of these days did, and at no more;
of many, or of articles, at all.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date

from kly_mage.common.window import Window
from kly_mage.declared.base import UNDECLARED, Source
from kly_mage.declared.marts import Measure, mart_of
from kly_mage.landing.files import LandingFile
from kly_mage.landing.outside import OUTSIDE
from kly_mage.warehouse.account import LINE_BITS, is_few
from kly_mage.warehouse.bigquery.account_told import HELD, LINE, came_in, same, told, within
from kly_mage.warehouse.bigquery.counting import counted, gone, log
from kly_mage.warehouse.bigquery.hash_sql import hash_expression, undeclared_expression
from kly_mage.warehouse.bigquery.load_script import near
from kly_mage.warehouse.bigquery.persons import FORGOTTEN, with_owner
from kly_mage.warehouse.bigquery.reconciliation import readable
from kly_mage.warehouse.bigquery.schema import TYPES, Columns
from kly_mage.warehouse.bigquery.text import identifier, literal
from kly_mage.warehouse.bigquery.truth import per_row


@dataclass(frozen=True)
class Files:
    """What is known of the files' rows without asking the warehouse.

    Attributes:
        table: where they are staged, with ``columns``.
        first: the first UTC day in front of a hash, if any row has one.
        last: the last.
        left_out: numbers of the files of which no row is looked at.
    """

    table: str
    first: date | None = None
    last: date | None = None
    left_out: Collection[int] = ()


def columns(source: Source) -> Columns:
    """Name, type and a note of each column of the staged rows."""
    own: Columns = [
        ('_hashrow', 'string', ''),
        ('day', 'date', 'The local day; of a reject without one that of its file.'),
        ('nth', 'int64', 'The place in the order of delivery: the number of the file, and the line in the lowest bits.'),
        ('copies', 'int64', 'For how many rows it stands.'),
        ('is_outside', 'bool', ''),
        ('is_superseded', 'bool', ''),
        ('reject', 'string', ''),
        ('_undeclared_values', 'string', ''),
    ]
    own += [(column.name, TYPES[column.kind], '') for column in source.version_columns]
    return own + [(measure.name, 'int64' if measure.unit == 'count' else 'bignumeric', '') for measure in further(source)]


def further(source: Source) -> list[Measure]:
    """The measures that are none of the columns that the hash leaves out."""
    mart = mart_of(source.name)
    values = {column.name for column in source.version_columns}
    return [measure for measure in mart.additive if measure.name not in values] if mart else []


def from_table(source: Source, files: Files, window: Window | None) -> Callable[[int, LandingFile, str], str]:
    """Makes the statement that stages the rows of a table of an export, whose query gives them as a load takes them."""
    measures = {m.name: f'if(_is_theirs and _reject is not null, null, {per_row(m)})' for m in further(source)}

    def into(number: int, file: LandingFile, query: str) -> str:
        day = f"coalesce(_partition_date, date '{file.day}')"
        # Rows outside have no hash: each stands for itself.
        told = {
            '_hashrow': f"if(_reject = {literal(OUTSIDE)}, concat('{number} ', cast(_line as string)), _hashrow)",
            'day': day,
            'nth': f'{number << LINE_BITS} + coalesce(_line, 0)',
            'copies': '1 + _duplicate_rows',
            'is_outside': f'coalesce(_reject = {literal(OUTSIDE)}, false)',
            'is_superseded': 'false',
            'reject': f'if(_is_theirs, {literal(FORGOTTEN)}, nullif(_reject, {literal(OUTSIDE)}))',
            **measures,
        }
        names, values = ', '.join(map(identifier, told)), ', '.join(told.values())
        rows = with_owner(source, query)
        return f'insert into {files.table} ({names})\nselect {values} from {rows}\nwhere {within(day, window)}'

    return into


def account_script(source: Source, files: Files, undeclared: list[str], window: Window | None, timezone: str) -> str:
    """The statements of an account.

    Its parameters: ``file_names`` and ``file_days`` (the latter empty for an undated file) in the order of their numbers;
    ``start`` and ``end`` of a window.

    Args:
        undeclared: the columns of bronze that are neither declared nor ours.
    """
    return _Script(source, files, undeclared, window, timezone).text()


class _Script:
    def __init__(self, source: Source, files: Files, undeclared: list[str], window: Window | None, timezone: str) -> None:
        self.source, self.name, self.files, self.window, self.timezone = source, source.name, files, window, timezone
        self.undeclared, self.mart = undeclared, mart_of(source.name)
        self.measures = self.mart.additive if self.mart else ()
        self.values = [column.name for column in source.version_columns]
        self.is_few = is_few(source, window)

    def text(self) -> str:
        kept = f'(nth >> {LINE_BITS}) not in ({", ".join(map(str, sorted(self.files.left_out)))})'
        lines = '\nunion all\n'.join(
            f'select {literal(kind)} as kind, cells from ({query})' for kind, query in told(self.source, self.window)
        )
        steps = [
            *(['declare v_first timestamp;', 'declare v_last timestamp;'] if self.is_few else []),
            *(['declare v_counted timestamp;'] if self.mart else []),
            '',
            'begin transaction;',
            *(self._bounds() if self.is_few else []),
            *([_COUNTED.format(name=self.name)] if self.mart else []),
            'create temp table delivered as',
            f'select * from {self.files.table} where {kept if self.files.left_out else "true"};',
            '',
            'create temp table fresh as',
            'select * from delivered where reject is null and not is_superseded;',
            '',
            f'create temp table versions as\n{self._versions()};',
            '',
            f'create temp table fresh_rejects as\n{self._rejects()};',
            '',
            f'create temp table holdings as\n{self._holdings()};',
            '',
            f'create temp table told as\n{lines};',
            'commit transaction;',
            '',
            'select kind, cells from told;',
        ]
        return '\n'.join(steps)

    # --- where each row is --------------------------------------------------------------------------------------------

    def _bounds(self) -> list[str]:
        """When the rows of these days came in: a hash begins with the day in UTC, which is one beside the local one."""
        near_days = '_utc_day between date_sub(@start, interval 1 day) and date_add(@end, interval 1 day)'
        came_in = f'select _updated_at from bronze.{self.name}_hashrow where {near_days}'
        last = came_in
        if self.source.may_be_corrected:  # a version that counts has the stamp of the load that exchanged it
            last += f' union all select _updated_at from {log(self.source)} where _partition_date between @start and @end'
        return [
            f'set v_first = (select min(_updated_at) from ({came_in}));',
            f'set v_last = (select max(_updated_at) from ({last}));',
        ]

    def _versions(self) -> str:
        """Each distinct version of a row, once, and its place."""
        kinds = {column.name: column.kind for column in self.source.columns} | dict.fromkeys(self.undeclared, 'text')
        values = ''.join(f', {identifier(name)}' for name in self.values)
        intact = [
            f'{hash_expression(self.source, kinds)} = _hashrow',
            f'date({identifier(self.source.day_column)}, {literal(self.timezone)}) is not distinct from _partition_date',
        ]
        if self.values:
            told = undeclared_expression(self.undeclared)
            intact.append(f'{told} is not distinct from {identifier(UNDECLARED.name)}')
        return _VERSIONS.format(
            values=values,
            newest=f', max(if(is_outside, null, (nth | {LINE}) - (nth & {LINE}))) as newest' if self.values else '',
            least=''.join(f', min({identifier(m.name)}) as {identifier(m.name)}' for m in further(self.source)),
            bits=LINE_BITS,
            intact=' and '.join(intact),
            name=self.name,
            came_in=came_in('stored', self.source, self.window),
            gone=f'select distinct _hashrow from {gone(self.source)}' if self.source.holds_whole_days else _NOBODY,
            further=_FURTHER.format(values=values, name=self.name) if self.values else _NONE,
            logged=_LOGGED.format(values=values, log=log(self.source)) if self.values else _NOBODY,
            near=near('known', self.files.first, self.files.last),
            same_stored=same(self.source, 'stored', 'seen'),
            same_further=same(self.source, 'further', 'seen'),
            same_known=same(self.source, 'known', 'seen'),
            same_kept=same(self.source, 'stored', 'known'),
            same_logged=same(self.source, 'stored', 'logged'),
            applies=str(self.source.applies_restatements).lower(),
            settled=self._settled() if self.values else 'select * except (is_restated, is_kept) from placed',
        )

    def _settled(self) -> str:
        """Which of several versions counts, where the first need not: it is where bronze has its row.

        The others are superseded, or wait: rows of one file and one key are no restatement.
        """
        applies = self.source.applies_restatements
        return _SETTLED.format(
            counts='nth_newest = 1' if applies else 'is_kept', waits='is_second' if applies else "place = 'conflict'"
        )

    def _rejects(self) -> str:
        """The files' rejected rows and their places; a load that has met a row keeps it under a hash of where it is."""
        money = self.mart.money if self.mart else None
        amount = readable(f"json_value(reject, '$.row.{money}')") if money else 'cast(null as bignumeric)'
        own, theirs = literal(self.name), literal(FORGOTTEN)
        return _REJECTS.format(bits=LINE_BITS, line=LINE, source=own, forgotten=theirs, amount=amount)

    def _holdings(self) -> str:
        """Rows of bronze by day, those that a file has apart from others."""
        sums = ''.join(f', sum({per_row(m)}) as {identifier(f"sum_{m.name}")}' for m in self.measures)
        return (
            f'select stored._partition_date as day, held._hashrow is not null as is_held, count(*) as amount{sums}\n'
            f'from {counted(self.source)} as stored\n{HELD}'
            f'where {came_in("stored", self.source, self.window)} and {within("stored._partition_date", self.window)}\n'
            'group by day, is_held'
        )


_COUNTED = """\
set v_counted = (
    select coalesce(watermark, timestamp '0001-01-01 00:00:00+00') from ops.{name}_lock
);
"""
_NONE = "select '' as _hashrow, false as is_accepted from (select 1) where false"
_NOBODY = "select '' as _hashrow from (select 1) where false"
_FURTHER = """\
select _hashrow{values}, logical_or(accepted_at is not null) as is_accepted
    from bronze.{name}_conflicts
    group by _hashrow{values}"""
_LOGGED = """\
select distinct _hashrow{values} from {log} where sign < 0"""
_VERSIONS = """\
with seen as (
    select
        _hashrow, min(day) as day, sum(copies) as copies, count(distinct nth >> {bits}) as files,
        logical_and(is_outside) as is_outside, min(nth) as nth{newest}{values}{least}
    from fresh
    group by _hashrow{values}
),

-- Of a row, where its first version stands in each file.
firsts as (
    select _hashrow, nth >> {bits} as number, min(nth) as nth from fresh group by _hashrow, number
),

stored as (
    select stored._hashrow{values}, {intact} as is_intact
    from bronze.{name} as stored
    where {came_in}
),

gone as (
    {gone}
),

further as (
    {further}
),

-- What bronze has of rows whose later versions have come to count.
logged as (
    {logged}
),

known as (
    select distinct known._hashrow{values} from bronze.{name}_hashrow as known where {near}
),

found as (
    select
        seen.*,
        stored._hashrow is not null as is_stored,
        coalesce(stored.is_intact, false) and {same_stored} as is_as_stored,
        gone._hashrow is not null as is_gone,
        further._hashrow is not null as is_further,
        coalesce(further.is_accepted, false) as is_accepted,
        known._hashrow is not null as is_known,
        known._hashrow is not null and {same_known} as is_kept,
        {applies} or seen._hashrow in (select logged._hashrow from logged) as is_restated,
        coalesce(stored.is_intact, false) and ({same_kept} or logged._hashrow is not null) as is_written,
        seen.nth > firsts.nth as is_second
    from seen
    inner join firsts on seen._hashrow = firsts._hashrow and seen.nth >> {bits} = firsts.number
    left join stored on seen._hashrow = stored._hashrow
    left join gone on seen._hashrow = gone._hashrow
    left join further on seen._hashrow = further._hashrow and {same_further}
    left join known on seen._hashrow = known._hashrow
    left join logged on stored._hashrow = logged._hashrow and {same_logged}
),

placed as (
    select
        * except (is_stored, is_as_stored, is_gone, is_further, is_known, is_written),
        case
            when is_outside then 'outside'
            when is_gone then 'not_loaded'
            when is_as_stored then 'bronze'
            when is_further then 'conflict'
            when is_stored and is_restated and is_written then 'not_loaded'
            when not is_kept and not (is_restated and is_known) then 'not_loaded'
            when is_stored then 'changed'
            else 'lost'
        end as place
    from found
)

{settled}"""
_SETTLED = """\
select
    * except (is_restated, is_kept, is_asked, nth_newest, of_row, place),
    case
        when not is_asked then place
        when {counts} then coalesce(of_row, 'bronze')
        when {waits} then 'conflict'
        else 'superseded'
    end as place
from (
    select
        *,
        row_number() over (partition by _hashrow, is_asked order by newest desc) as nth_newest,
        min(if(is_asked and place <> 'conflict', place, null)) over (partition by _hashrow) as of_row
    from (
        select
            *, is_restated and not is_outside and place in ('conflict', 'bronze', 'lost', 'changed') as is_asked
        from placed
    )
)"""
_REJECTS = """\
with told as (
    select
        day, nth, is_outside, reject,
        to_hex(md5(concat(
            @file_names[offset(nth >> {bits})], '\\x1f', cast(nth & {line} as string), '\\x1f', reject
        ))) as reject_id
    from delivered
    where reject is not null and reject <> {forgotten}
),

known as (
    select distinct reject_id from bronze.rejects where source = {source} and resolved_at is null
)

select
    told.day, told.nth, told.reject_id,
    case when known.reject_id is not null then 'rejected' when is_outside then 'outside' else 'not_loaded' end as place,
    {amount} as amount
from told
left join known on told.reject_id = known.reject_id"""
