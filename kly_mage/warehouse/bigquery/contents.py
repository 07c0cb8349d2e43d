"""What each file held of each day when a load read it (``ops.file_days``), so that a file that has changed since is noticed.

As ``warehouse/postgres/contents.py``; here each look that finds something else is a row of its own, the newest counts: what
is only appended to is in no other load's way.
"""

from datetime import date
from decimal import Decimal
from typing import Any

from kly_mage.common.window import Window
from kly_mage.declared.base import Source
from kly_mage.landing.files import LandingFile
from kly_mage.warehouse.bigquery import unchanged
from kly_mage.warehouse.bigquery.client import Client
from kly_mage.warehouse.bigquery.text import identifier, literal
from kly_mage.warehouse.standing import Changed

FILE_DAYS = [
    ('source', 'string', 'The source.'),
    ('file', 'string', 'The file.'),
    ('day', 'date', 'Local day of the rows; NULL for a file of articles, which is noted as a whole.'),
    ('rows_held', 'int64', 'Usable rows, duplicates included.'),
    (
        'checksum',
        'numeric',
        'Sum over their hashes, numbers and counts, the same in any order; NULL until it is noted anew.',
    ),
    ('money', 'bignumeric', 'Sum of their money; NULL for a source without.'),
    ('load_id', 'int64', 'The load that read them so.'),
    ('rows_now', 'int64', 'Rows that a later load found there instead, some of the others gone or changed.'),
    ('money_now', 'bignumeric', 'Their money.'),
    ('changed_by', 'int64', 'The load that found it so; NULL where the file holds what was loaded.'),
    ('noted_by', 'int64', 'The load that has noted this; of a file and day the last one counts.'),
]
NEWEST = 'true qualify row_number() over (partition by source, file, day order by noted_by desc) = 1'
CHANGED = (
    'select source, file, day, load_id, rows_held, rows_now, money, money_now from'
    f' (select * from ops.file_days where source in unnest(@sources) and {NEWEST})'
    ' where changed_by is not null and (day is null or day between @start and @end) order by source, file, day'
)
# Files with usable rows, and the load that has noted them.
USABLE = (
    'select source, file, load_id from'
    f' (select * from ops.file_days where source in unnest(@sources) and {NEWEST}) where rows_held > 0'
)


def settled(source: Source, *, is_other: str, has_unread: bool) -> str:
    """The statement of a load's script that holds what was read against what the same files held before, and notes both.

    It stands behind the one that makes ``placed``. Its parameters: ``named``, ``left_out`` (names of files),
    ``may_hold_from`` and ``may_hold_until`` (of ``named``: the days whose rows they may hold; empty for any).

    Args:
        is_other: the condition on a row of ``placed`` that it is another version than the first of its key.
        has_unread: whether something was not read because it is as it was: then ``asked_files`` says what (``unchanged``).
    """
    money = source.money_columns[0] if source.money_columns else None
    numbers = [column.name for column in source.value_columns if column.kind in ('count', 'money')]
    row = ", '|', ".join(['_hashrow', *(f"coalesce(cast({identifier(name)} as string), '')" for name in numbers)])
    worth = f'ifnull({identifier(money)}, 0) * (1 + _duplicate_rows)' if money else 'cast(null as bignumeric)'
    none = '0' if money else 'null'
    joins, lost = '', 'false'
    if source.holds_whole_days:
        joins = _DELIVERED.format(file_day='of_file.file_day' if source.whole_days is None else 'looked.day')
        lost = 'ifnull(whole.day is not null or of_file.delivery < in_force.delivery, false)'
    return _SETTLED.format(
        source=literal(source.name),
        row=row,
        day='cast(null as date)' if source.any_day else '_partition_date',
        worth=worth,
        none=none,
        is_other=is_other,
        is_taken=' and not _is_superseded' if source.holds_whole_days else '',
        joins=joins,
        lost=lost,
        is_unread=unchanged.IS_UNREAD if has_unread else '',
    )


def parameters(files: list[LandingFile], late_days: int) -> dict[str, Any]:
    """The values of the statement's own parameters; ``files`` are those of ``named``."""
    days = [file.days(late_days) for file in files]
    return {
        'may_hold_from': [str(each.start) if each else '' for each in days],
        'may_hold_until': [str(each.end) if each else '' for each in days],
    }


def changed(client: Client, sources: list[str], window: Window | None = None) -> list[tuple[str, Changed]]:
    """The files that hold other rows now than they were loaded with, by day, each behind its source."""
    asked = window or Window(date.min, date.max)
    rows = client.run(CHANGED, {'sources': sources, 'start': asked.start, 'end': asked.end}, what='status')
    return [(row['source'], _changed(row)) for row in rows]


def _changed(row: dict[str, Any]) -> Changed:
    money, money_now = (None if row[name] is None else Decimal(row[name]).normalize() for name in ('money', 'money_now'))
    return Changed(row['file'], row['day'], row['load_id'], row['rows_held'], row['rows_now'], money, money_now)


def forget(source: Source, condition: str = 'true') -> str:
    """The statements that let the next loads read all files, and note anew what they hold of the days of a condition."""
    own = f'delete from ops.file_days where source = {literal(source.name)} and (day is null or {condition});'
    return f'{own}\n{unchanged.dropped(source.name)}'


def note_anew(source: Source) -> str:
    """The statements that let the next loads do so where a file did not differ: rows of it count no more."""
    own = f'update ops.file_days set checksum = null where source = {literal(source.name)} and changed_by is null;'
    return f'{own}\n{unchanged.dropped(source.name)}'


_DELIVERED = """
left join of_files as of_file on looked.file = of_file.file
left join whole on whole.day = looked.day and whole.file_day = {file_day}
left join in_force on in_force.day = looked.day and in_force.file_day = {file_day}"""
_SETTLED = """
insert into ops.file_days (
    source, file, day, rows_held, checksum, money, load_id, rows_now, money_now, changed_by, noted_by
)
with taken as (
    select
        _file as file, {day} as day, 1 + _duplicate_rows as times,
        _place in ('new', 'duplicate') and not _is_known and not ({is_other}) as is_new,
        cast(farm_fingerprint(concat({row})) as numeric) as fingerprint, {worth} as worth
    from placed
    where _reject is null{is_taken}
),

may_hold as (
    select
        file, safe_cast(@may_hold_from[offset(place)] as date) as first_day,
        safe_cast(@may_hold_until[offset(place)] as date) as last_day
    from unnest(@named) as file with offset as place
),

noted as (
    select * from ops.file_days
    where source = {source} and (day is null or day between @start and @end) and true
    qualify row_number() over (partition by file, day order by noted_by desc) = 1
),

-- Of each file and day that this load has read, or has looked at in vain: now and then.
looked as (
    select
        file, day,
        sum(rows_now) as rows_now, sum(checksum_now) as checksum_now, sum(money_now) as money_now,
        sum(rows_new) as rows_new, sum(checksum_new) as checksum_new, sum(money_new) as money_new,
        max(rows_then) as rows_then, max(checksum_then) as checksum_then, max(money_then) as money_then,
        max(load_then) as load_then, logical_or(was_off) as was_off
    from (
        select
            file, day,
            times as rows_now, fingerprint * times as checksum_now, worth as money_now,
            if(is_new, times, 0) as rows_new, if(is_new, fingerprint * times, 0) as checksum_new,
            if(is_new, worth, null) as money_new,
            cast(null as int64) as rows_then, cast(null as numeric) as checksum_then,
            cast(null as bignumeric) as money_then, cast(null as int64) as load_then, false as was_off
        from taken
        union all
        select
            noted.file, noted.day, 0, 0, {none}, 0, 0, null,
            noted.rows_held, noted.checksum, noted.money, noted.load_id, noted.rows_now is not null
        from noted
    )
    group by file, day
),

judged as (
    select
        looked.*,
        rows_then = rows_now and ifnull(checksum_then = checksum_now, false)
        and ifnull(money_then, 0) = ifnull(money_now, 0) as is_same,
        rows_then = rows_now - rows_new and checksum_then = checksum_now - checksum_new
        and ifnull(money_then, 0) = ifnull(money_now, 0) - ifnull(money_new, 0) as has_grown,
        {lost} as is_corrected,
        rows_now > 0 or (may_hold.file is not null and looked.file not in unnest(@left_out){is_unread}) as is_looked_at,
        -- No load takes such rows from it any more: a setting has changed, not the file.
        ifnull(rows_now = 0 and not looked.day between may_hold.first_day and may_hold.last_day, false) as is_closed
    from looked
    left join may_hold on looked.file = may_hold.file{joins}
)

select
    {source}, file, day,
    if(is_right, rows_now, rows_then), if(is_right, checksum_now, checksum_then), if(is_right, money_now, money_then),
    if(is_right, v_load_id, load_then),
    if(is_right, null, rows_now), if(is_right, null, money_now), if(is_right, null, v_load_id), v_load_id
from (
    select *, rows_then is null or checksum_then is null or is_same or has_grown or is_corrected as is_right
    from judged
    where is_looked_at and not is_closed and (rows_then is null or was_off or not is_same)
);
"""
