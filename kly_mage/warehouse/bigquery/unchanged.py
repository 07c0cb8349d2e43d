"""What finished loads have kept of the files they read, so that a file that has not changed is not read again.

As ``warehouse/postgres/unchanged.py``; here it is a row per file and day (``ops.kept``), which is only appended to and so is
in no other load's way. Of a file the rows count that were kept since it was another one last, or nothing was kept of it.
"""

from collections.abc import Collection
from typing import Any

from kly_mage.declared.base import Source
from kly_mage.landing.files import LandingFile
from kly_mage.landing.left_out import FILE_LINE
from kly_mage.landing.unchanged import Kept
from kly_mage.warehouse.announced import Announced
from kly_mage.warehouse.bigquery.client import Client
from kly_mage.warehouse.bigquery.text import identifier, literal

PARTS = ('unchanged', 'duplicate', 'rejected', 'superseded', 'forgotten')
"""What has become of the rows of a day: what was new is unchanged from then on."""
KEPT = [
    ('source', 'string', 'The source.'),
    ('file', 'string', 'The file.'),
    ('content', 'string', 'What it was: a text over its bytes and all that reading depends on; NULL if nothing is kept.'),
    ('day', 'date', 'Local day of its rows; NULL for those without one.'),
    ('place', 'string', 'taken: a load has taken them; waiting: none has; outside: of a day that it may not hold.'),
    *((f'rows_{part}', 'int64', 'As in ops.loads.') for part in (*PARTS, 'outside')),
    ('rejects_accepted', 'int64', 'As in ops.loads.'),
    ('money', 'bignumeric', 'Their money; NULL for a source without.'),
    ('load_id', 'int64', 'The load that has kept this.'),
    ('noted_at', 'timestamp', 'Its stamp: of a file and day the last one counts.'),
]
_COUNTS = (*(f'rows_{part}' for part in PARTS), 'rows_outside', 'rejects_accepted')
WHICH = ('unread_files', 'unread_contents', 'unread_days', 'unread_own_days')
NOTED = ('kept_files', 'kept_contents', 'kept_days', 'kept_places')
"""The parameters that say what was not read, and what is to be kept."""


def kept_statement(source: Source) -> str:
    """The query of what is kept of the files ``names``, a parameter."""
    return f'select * from {_state(source, "@names")}'


def kept(client: Client, source: Source, files: Collection[LandingFile]) -> dict[str, Kept]:
    """What is kept of some files, by their names."""
    rows = client.run(kept_statement(source), {'names': [file.name for file in files]}, what='files')
    found: dict[str, Kept] = {}
    for row in rows:
        before = found.get(row['file'], Kept(row['content'], frozenset(), frozenset(), frozenset()))
        own = frozenset({row['day']} if row['day'] else ())
        is_taken = row['place'] == 'taken'
        found[row['file']] = Kept(
            row['content'],
            before.days | (own if is_taken else frozenset()),
            before.waiting | (own if row['place'] == 'waiting' else frozenset()),
            before.rows | (own if is_taken and row['rows_unchanged'] + row['rows_duplicate'] else frozenset()),
        )
    return found


def dropped(source: str, condition: str = 'true') -> str:
    """The statement that keeps nothing any more of the files of a source for which a condition holds."""
    return f'delete from ops.kept where source = {literal(source)} and {condition};'


def decided(sources: Collection[str]) -> str:
    """The statements of a transaction that keep loads from counting rejects of these sources until it ends.

    The next loads read their files again.
    """
    return '\n'.join(
        f"update ops.{source}_lock set holder = 'a decision about rejects' where true;\n"
        + dropped(source, f'file in (select known.file from bronze.rejects as known where known.source = {literal(source)})')
        for source in sorted(sources)
    )


def parameters(announced: Announced) -> dict[str, Any]:
    """The values of the parameters of ``parts``."""
    unread = [
        (file, announced.told[file]['content'], day, str(announced.own_day(file) or ''))
        for file, days in announced.skipped.items()
        for day in days or ['']
    ]
    noted = [
        (file, told['content'], day, place)
        for file, told in announced.told.items()
        if told['is_read']
        for day, place in _noted(announced, file)
    ]
    values: dict[str, Any] = {'announced': [*announced.told]} if announced.told else {}
    for names, rows in ((WHICH, unread), (NOTED, noted)):
        if rows:
            values |= {name: [row[at] for row in rows] for at, name in enumerate(names)}
    return values


def _noted(announced: Announced, file: str) -> list[tuple[str, str]]:
    """The days that are kept of a file that was read, each with its place."""
    seen, taken = announced.days_read(file)
    own, loaded = announced.own_day(file), announced.told[file]['loaded']
    found = [(day, 'taken' if day in taken else 'waiting') for day in seen if day not in loaded]
    if own is None or announced.source.any_day or own in announced.window:  # else rows without a day were not taken
        found.append(('', 'taken'))
    return found


def parts(
    source: Source, announced: Announced, counts: dict[str, str], of_day: dict[str, str], *, worth: str, is_other: str
) -> dict[str, str]:
    """The places of the script that are about files that were not read, and about what is kept of those that were.

    Args:
        counts: how many rows of ``placed`` have a place, as expressions, by place.
        of_day: those of them that are told by day.
        worth: the money of its usable rows, as an expression.
        is_other: the condition on a row of it that it is another version of a row known.
    """
    name = literal(source.name)
    is_any = bool(announced.skipped)
    money = 'bignumeric' if source.money_columns else None
    found = {
        'unread': _EMPTIED.format(source=name, name=source.name)
        + (
            _UNREAD.format(
                state=_state(source, '@unread_files'),
                any_day='true' if source.any_day else 'false',
                counts=', '.join(f'known.{each}' for each in _COUNTS),
            )
            if is_any
            else ''
        ),
        'lost': _LOST if is_any and source.holds_whole_days else '',
        'unread_outside': _UNREAD_OUTSIDE.format(source=name) if is_any else '',
        'unread_accepted': ' + (select coalesce(sum(rejects_accepted), 0) from unread)' if is_any else '',
        'all_worth': f'coalesce({worth}, 0) + (select coalesce(sum(money), 0) from unread where rows_outside = 0)'
        if is_any and money
        else worth,
        'all_counted': ',\n    '.join(f'{told}{_further(each) if is_any else ""}' for each, told in counts.items()),
        'by_day': _by_day(of_day, is_any=is_any),
        'kept': '',
    }
    read = any(told['is_read'] for told in announced.told.values())
    if read:
        kept = {each: counts.get(each, '0') for each in PARTS}
        kept['unchanged'] = "countif(_place in ('new', 'already_loaded'))"
        found['kept'] = _KEEP.format(
            source=name,
            columns=', '.join(column for column, _, _ in KEPT),
            counted=',\n        '.join(f'{told} as rows_{each}' for each, told in kept.items()),
            parts=', '.join(f'coalesce(counted.rows_{each}, 0)' for each in PARTS),
            zeros=', '.join('0' for _ in PARTS),
            worth=worth,
            money=f'sum({identifier(source.money_columns[0])})' if money else 'cast(null as bignumeric)',
            is_other=is_other,
            file_line=FILE_LINE,
        )
    others = ' and kept.file not in unnest(@announced)' if announced.told else ''
    found['kept'] += _NOTHING.format(source=name, others=others)
    return found


def of_days(announced: Announced) -> str:
    """What is added to the usable rows of ``placed``, by day: those of files that were not read."""
    return ' union all select day, rows_unchanged from unread where day is not null' if announced.skipped else ''


def _state(source: Source, names: str) -> str:
    return _STATE.format(source=literal(source.name), name=source.name, names=names)


def _further(part: str) -> str:
    """What is added to the count of a place."""
    columns = {'read': ' + '.join(_COUNTS[:-1]), 'distinct': 'rows_unchanged'}
    told = columns.get(part) or (f'rows_{part}' if f'rows_{part}' in _COUNTS else '')
    return f' + (select coalesce(sum({told}), 0) from unread)' if told else ''


def _by_day(of_day: dict[str, str], *, is_any: bool) -> str:
    placed = (
        'select\n    _partition_date as day,\n    '
        + ',\n    '.join(f'{told} as rows_{each}' for each, told in of_day.items())
        + "\nfrom placed\nwhere _partition_date is not null and _place not in ('file', 'outside')\ngroup by _partition_date"
    )
    if not is_any:
        return f'({placed})'
    told = {
        each: ' + '.join(_COUNTS[:-2]) if each == 'read' else f'rows_{each}' if f'rows_{each}' in _COUNTS else '0'
        for each in of_day
    }
    unread = f'select day, {", ".join(told.values())} from unread where day is not null and {told["read"]} > 0'
    sums = ', '.join(f'sum(rows_{each}) as rows_{each}' for each in of_day)
    return f'(\nselect day, {sums} from (\n{placed}\nunion all\n{unread}\n) group by day\n)'


# What is kept of files as rows by day. Of a registry that was emptied nothing is known, whatever was kept.
_STATE = """(
    select * except (content_now, other_at) from (
        select
            *, max(if(content is not distinct from content_now, null, noted_at)) over (partition by file) as other_at
        from (
            select *, first_value(content) over (partition by file order by noted_at desc) as content_now
            from ops.kept where source = {source} and file in unnest({names})
        )
    )
    where
        content = content_now and (other_at is null or noted_at > other_at)
        and exists (select 1 from bronze.{name}_hashrow)
    qualify row_number() over (
        partition by file, place = 'outside', day order by if(place = 'taken', 0, 1), noted_at desc
    ) = 1
)"""
_EMPTIED = """
if exists (select 1 from ops.kept where source = {source}) and not exists (select 1 from bronze.{name}_hashrow) then
delete from ops.kept where source = {source};
end if;
"""
_UNREAD = """
create temp table known_files as
select * from {state};

create temp table asked_files as
select
    file, @unread_contents[offset(place)] as content, safe_cast(@unread_days[offset(place)] as date) as day,
    safe_cast(@unread_own_days[offset(place)] as date) as own_day
from unnest(@unread_files) as file with offset as place;

-- What earlier loads have had of a file may have been taken out since it was looked at.
set v_read_again = (
    select string_agg(distinct to_json_string(asked.file), ',')
    from asked_files as asked
    left join known_files as known
        on asked.file = known.file and asked.content = known.content
            and (asked.day is null or (asked.day = known.day and known.place = 'taken'))
    where
        known.file is null
        or (not {any_day} and asked.day is null and known.place = 'waiting' and known.day between @start and @end)
);

create temp table unread as
select known.file, known.day, {counts}, known.money
from known_files as known
inner join asked_files as asked on known.file = asked.file and known.content = asked.content
where
    (asked.day = known.day and known.place = 'taken')
    or (asked.day is null and known.place = 'taken'
        and ({any_day} or coalesce(known.day, asked.own_day, @start) between @start and @end))
    or (asked.day is null and known.place = 'outside' and asked.own_day between @start and @end);
"""
_LOST = """
-- Rows would cease to count that a file may have that was not read.
set v_read_again = coalesce(v_read_again, (
    select string_agg(distinct to_json_string(unread.file), ',')
    from unread inner join turned on unread.day = turned.day
    where turned.sign < 0 and unread.rows_unchanged + unread.rows_duplicate > 0
));
"""
IS_UNREAD = (
    " and concat(looked.file, ' ', ifnull(cast(looked.day as string), '')) not in ("
    "select concat(asked.file, ' ', cast(asked.day as string)) from asked_files as asked where asked.day is not null)"
    ' and looked.file not in (select asked.file from asked_files as asked where asked.day is null)'
)
"""The condition, behind others, that a file and day were read."""
_UNREAD_OUTSIDE = """
union all
select {source}, v_load_id, file, day, rows_outside, money from unread where rows_outside > 0"""
# Not of a file with another version of a row, whose place depends on other files, nor of one that has changed.
_KEEP = """
insert into ops.kept ({columns})
with told as (
    select
        file, @kept_contents[offset(nth)] as content, safe_cast(@kept_days[offset(nth)] as date) as day,
        @kept_places[offset(nth)] as place
    from unnest(@kept_files) as file with offset as nth
),

unsure as (
    select _file as file from placed where _reject is null and ({is_other})
    union distinct
    select file from ops.file_days where source = {source} and changed_by = v_load_id
),

counted as (
    select
        _file as file, _partition_date as day,
        {counted},
        {worth} as money
    from placed where _place not in ('file', 'outside')
    group by _file, _partition_date
),

accepted as (
    select rejected._file as file, rejected._partition_date as day, count(*) as amount
    from rejected inner join bronze.rejects as known using (reject_id)
    where known.source = {source} and known.accepted_at is not null and rejected._line <> {file_line}
    group by rejected._file, rejected._partition_date
)

select
    {source}, told.file, told.content, told.day, told.place, {parts}, 0, coalesce(accepted.amount, 0), counted.money,
    v_load_id, v_stamp
from told
left join counted on told.file = counted.file and told.day is not distinct from counted.day and told.place = 'taken'
left join accepted on told.file = accepted.file and told.day is not distinct from accepted.day and told.place = 'taken'
where told.file not in (select unsure.file from unsure)
union all
select
    {source}, told.file, told.content, placed._partition_date, 'outside', {zeros}, count(*), 0, {money}, v_load_id, v_stamp
from placed inner join (select distinct file, content from told) as told on placed._file = told.file
where placed._place = 'outside' and told.file not in (select unsure.file from unsure)
group by told.file, told.content, placed._partition_date
union all
select {source}, unsure.file, cast(null as string), null, 'taken', {zeros}, 0, 0, null, v_load_id, v_stamp
from unsure where unsure.file in unnest(@announced);
"""
_NOTHING = """
if exists (
    select 1 from ops.kept as kept where kept.source = {source} and kept.file in unnest(@read){others}
) then
insert into ops.kept (source, file, load_id, noted_at)
select distinct {source}, kept.file, v_load_id, v_stamp from ops.kept as kept
where kept.source = {source} and kept.file in unnest(@read){others};
end if;
"""
