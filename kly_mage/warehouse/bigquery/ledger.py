"""What the ledger tells: days that never came, files that were read, and what became of rows."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from kly_mage.common.window import Window
from kly_mage.declared.base import Source
from kly_mage.landing.files import LandingFile
from kly_mage.landing.left_out import FILE_LINE
from kly_mage.warehouse import ledger as told
from kly_mage.warehouse.bigquery.client import Client
from kly_mage.warehouse.ledger import PARTS, Reject
from kly_mage.warehouse.outside import Outside


def is_loaded(client: Client, what: str = 'loads') -> bool:
    """Whether anything was ever loaded, or tried to be; ``what`` labels the job."""
    return bool(client.run('select load_id from ops.loads limit 1', what=what))


def files_read(client: Client, source: Source) -> set[tuple[str, int, datetime]]:
    """Signatures of the files that loads have read, in the state they had then: the last load that read them says."""
    rows = client.run(FILES_READ, {'source': source.name}, what='files')
    return {(row['file'], row['size'], row['modified_at']) for row in rows}


# What was taken out of a source that any load takes any day of is read anew, whatever it was.
FILES_READ = (
    'select file, size, modified_at from ops.load_files where source = @source and load_id > ('
    "select coalesce(max(load_id), 0) from ops.loads where source = @source and status = 'unload')"
    ' qualify row_number() over (partition by file order by load_id desc) = 1'
)
# The files that loads have read, as the last of them saw each: not those of loads that were taken out, of a source that any
# load takes any day of not those from before the last unload.
SEEN = (
    'select files.source, files.file, files.size, files.modified_at from ops.load_files as files'
    ' inner join ops.loads as loads on files.source = loads.source and files.load_id = loads.load_id'
    " left join (select source, max(load_id) as load_id from ops.loads where status = 'unload' group by source) as gone"
    ' on files.source = gone.source and files.source in unnest(@any_day)'
    " where files.source in unnest(@sources) and loads.status = 'done' and files.load_id > coalesce(gone.load_id, 0)"
    ' qualify row_number() over (partition by files.source, files.file order by files.load_id desc) = 1'
)
# Of some days, which unload they were taken out by last.
TAKEN_OUT = (
    '(select source, day, max(load_id) as load_id from ops.loads, unnest(generate_date_array('
    "start_day, least(end_day, date_add(start_day, interval 36500 day)))) as day where status = 'unload'"
    ' group by source, day)'
)
# Not for days that something was taken out of since: from the first to the last, at the price of a look too many.
READ_AS = (
    'select files.file, files.modified_at, loads.start_day, loads.end_day from ops.load_files as files'
    ' inner join ops.loads as loads on files.source = loads.source and files.load_id = loads.load_id'
    ' left join (select source, max(load_id) as load_id, min(start_day) as start_day, max(end_day) as end_day from ops.loads'
    " where status = 'unload' group by source) as gone on loads.source = gone.source and loads.load_id < gone.load_id"
    ' and loads.start_day <= gone.end_day and loads.end_day >= gone.start_day'
    " where files.source = @source and loads.status = 'done' and gone.load_id is null order by files.load_id"
)


def seen(client: Client, sources: Collection[Source]) -> list[dict[str, Any]]:
    """The files that loads have read and that were not taken out since, in the state they had then."""
    names = {source.name: source.any_day for source in sources}
    return client.run(SEEN, {'sources': [*names], 'any_day': [n for n, any_day in names.items() if any_day]}, what='files')


def read_as(client: Client, source: Source) -> list[tuple[str, datetime, Window]]:
    """Which files loads have read, as of when, and for which days, in the order of the loads."""
    rows = client.run(READ_AS, {'source': source.name}, what='files')
    return [(row['file'], row['modified_at'], Window(row['start_day'], row['end_day'])) for row in rows]


FIRST_WAITING = f"""\
with taken_out as (
    select gone.day as day, gone.load_id from {TAKEN_OUT} as gone where gone.source = @source
),

done as (
    select load_id, start_day, least(end_day, date(timestamp_micros(load_id), @timezone)) as end_day
    from ops.loads where source = @source and status = 'done'
),

covered as (
    select distinct done.load_id, asked as day
    from done, unnest(generate_date_array(greatest(done.start_day, @start), least(done.end_day, @end))) as asked
    left join taken_out on asked = taken_out.day
    where done.load_id > coalesce(taken_out.load_id, 0)
),

own as (
    select file, cast(@own_days[offset(place)] as date) as day from unnest(@own_files) as file with offset as place
),

seen as (
    select distinct files.file, covered.day
    from ops.load_files as files inner join covered on files.load_id = covered.load_id
    where files.source = @source and files.file in unnest(@own_files)
),

waiting as (
    select day from unnest(generate_date_array(@start, @end)) as day where day not in (select covered.day from covered)
    union all
    select own.day from own left join seen on own.file = seen.file and own.day = seen.day where seen.file is null
)

select min(day) as day from waiting where day >= (select min(start_day) from done)"""


def first_waiting(client: Client, source: Source, files: Iterable[LandingFile], days: Window, timezone: str) -> date | None:
    """The first of these days that waits for a load; see ``warehouse/postgres/ledger.py``."""
    own = [] if source.any_day else [file for file in files if file.day and file.day in days]
    values = {
        'source': source.name,
        'timezone': timezone,
        'start': days.start,
        'end': days.end,
        'own_files': [file.name for file in own],
        'own_days': [str(file.day) for file in own],
    }
    (row,) = client.run(FIRST_WAITING, values, what='days')
    found: date | None = row['day']
    return found


LOADED_AS_OWN = """\
select distinct date(own_day) as day
from ops.load_files as files
inner join ops.loads as loads on files.source = loads.source and files.load_id = loads.load_id
inner join unnest(@own_files) as own_file with offset as number on files.file = own_file
inner join unnest(@own_days) as own_day with offset as number_of_day on number = number_of_day
where
    files.source = @source and loads.status = 'done'
    and date(own_day) between loads.start_day and loads.end_day
"""


def missing_days(client: Client, source: Source, files: Collection[LandingFile], days: Window) -> list[date]:
    """The days without a file of their own, now or when they were loaded; see ``warehouse/ledger.py``."""
    return told.missing_days(source, files, days, _Read(client, source))


@dataclass(frozen=True)
class _Read:
    """See ``warehouse/ledger.py``."""

    client: Client
    source: Source

    def names(self) -> list[str]:
        return [row['file'] for row in seen(self.client, [self.source])]

    def loaded_as_own(self, days: Mapping[str, date]) -> set[date]:
        values = {'source': self.source.name, 'own_files': list(days), 'own_days': [str(day) for day in days.values()]}
        return {row['day'] for row in self.client.run(LOADED_AS_OWN, values, what='files')}

    def days_with_rows(self, days: Collection[date]) -> set[date]:
        rows = self.client.run(
            'select distinct day from ops.load_days'
            ' where source = @source and day between @start and @end and rows_read > 0',
            {'source': self.source.name, 'start': min(days), 'end': max(days)},
            what='days',
        )
        return {row['day'] for row in rows}


def by_day(client: Client, load_ids: Iterable[int]) -> dict[date, dict[str, dict[str, int]]]:
    """Per day and source: rows read, and what became of them."""
    found: dict[date, dict[str, dict[str, int]]] = {}
    rows = client.run(
        f'select * from ops.load_days where load_id in ({_numbers(load_ids)}) order by day, load_id', what='days'
    )
    for row in rows:
        numbers = {part: row.get(f'rows_{part}', 0) for part in ('read', *PARTS)}
        found.setdefault(row['day'], {})[row['source']] = numbers
    return found


def rejects(client: Client, load_id: int, limit: int) -> list[Reject]:
    """The first rows that a load was the first to reject."""
    rows = client.run(
        f'select file, line, column_name, value, reason from bronze.rejects where load_id = {load_id}'
        f' and line <> {FILE_LINE} order by file, line limit {limit}',
        what='rejects',
    )
    return [Reject(*row.values()) for row in rows]


def outside(client: Client, load_id: int, limit: int) -> list[Outside]:
    """What a load has met of days that its files may not hold, by file."""
    rows = client.run(
        'select file, sum(rows_outside) as rows_outside, min(day) as first_day, max(day) as last_day, sum(money) as money'
        f' from ops.load_outside where load_id = {load_id} group by file order by file limit {limit}',
        what='outside',
    )
    return [Outside(*row.values()) for row in rows]


def _numbers(load_ids: Iterable[int]) -> str:
    return ', '.join(str(int(each)) for each in load_ids) or 'null'
