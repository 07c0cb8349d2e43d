"""What the ledger says of sources: their loads, the files these saw, the rows of each day, and what waits for somebody."""

import json
from collections.abc import Collection, Mapping
from datetime import date, datetime
from typing import Any

from kly_mage.common.window import Window, moved, today
from kly_mage.declared import SOURCES
from kly_mage.declared.base import Source
from kly_mage.landing.files import LandingFile
from kly_mage.landing.left_out import FILE_LINE
from kly_mage.warehouse import volume
from kly_mage.warehouse.bigquery import at_work, contents
from kly_mage.warehouse.bigquery.client import Client
from kly_mage.warehouse.bigquery.ledger import TAKEN_OUT, seen
from kly_mage.warehouse.outside import Outside
from kly_mage.warehouse.standing import Accepted, FarOff, Finding, Held, Load, Stale, Standing, stale

_Rows = list[dict[str, Any]]
LOADS = (
    'select source, load_id, start_day, end_day, status, finished_at, error from ops.loads'
    ' where source in unnest(@sources) order by load_id'
)
FILES = (
    'select source, load_id, file, size, modified_at from ops.load_files where source in unnest(@sources) order by load_id'
)
# The last of each source that is done.
LAST_LOADS = (
    'select source, load_id, start_day, end_day, finished_at, started_by from ops.loads'
    " where source in unnest(@sources) and status = 'done'"
    ' qualify row_number() over (partition by source order by load_id desc) = 1'
)
_USABLE = ' + '.join(f'of_day.rows_{part}' for part in ('new', 'already_loaded', 'unchanged', 'conflicting', 'restated'))
# Of usable rows that loads have found in the files.
NEWEST_DAYS = (
    'select of_day.source, max(of_day.day) as day from ops.load_days as of_day'
    ' inner join ops.loads as loads on of_day.source = loads.source and of_day.load_id = loads.load_id'
    f' left join {TAKEN_OUT} as gone on of_day.source = gone.source and of_day.day = gone.day'
    " where of_day.source in unnest(@sources) and loads.status = 'done' and loads.load_id > coalesce(gone.load_id, 0)"
    f' and {_USABLE} > 0'
    ' group by of_day.source'
)
REJECTS = (
    f'select source, file, countif(line <> {FILE_LINE}) > 0 as has_rows, countif(line = {FILE_LINE}) > 0 as is_left_out,'
    f' countif(line <> {FILE_LINE} and accepted_at is null) as rows_waiting,'
    f" max(if(line = {FILE_LINE}, json_value(raw, '$.size'), null)) as size,"
    f" max(if(line = {FILE_LINE}, json_value(raw, '$.modified_at'), null)) as modified_at,"
    f' max(if(line = {FILE_LINE}, reason, null)) as reason from bronze.rejects'
    ' where source in unnest(@sources) and resolved_at is null group by source, file order by file'
)
# The newest until a day: rows of tomorrow, by a wrong clock, make no source fresh.
NEWEST_UNTIL = NEWEST_DAYS.replace(' group by of_day', ' and of_day.day <= @end group by of_day')
# Distinct usable rows, as the last load of each day found them in the files.
LOADED = (
    'select of_day.source, of_day.day,'
    f' {_USABLE} as amount'
    ' from ops.load_days as of_day'
    ' inner join ops.loads as loads on of_day.source = loads.source and of_day.load_id = loads.load_id'
    f' left join {TAKEN_OUT} as gone on of_day.source = gone.source and of_day.day = gone.day'
    " where of_day.source in unnest(@sources) and loads.status = 'done' and loads.load_id > coalesce(gone.load_id, 0)"
    ' and of_day.day between @start and @end'
    ' qualify row_number() over (partition by of_day.source, of_day.day order by of_day.load_id desc) = 1'
)
# For which days loads were asked that ran on a day.
ASKED = (
    'select source, min(date_diff(date(finished_at, @timezone), end_day, day)) as age from ops.loads'
    " where source in unnest(@sources) and status = 'done' group by source"
)
ACCEPT = (
    'insert into ops.accepted_days (source, finding, day, found, usual, accepted_at, accepted_by, accepted_because)'
    ' select @source, @finding, @day, cast(@amount as int64), cast(@usual as int64), current_timestamp(), @by, @why'
)
ACCEPTED = (
    'select day, found, usual from ops.accepted_days where source = @source and finding = @finding'
    ' qualify row_number() over (partition by day order by accepted_at desc) = 1'
)
# How many rows of all loads break each rule.
RULES = (
    'select source, rule, sum(rows_broken) as amount from ops.load_rules where source in unnest(@sources)'
    ' group by source, rule order by source, rule'
)
# The last load of these days has failed: of one that was stopped the ledger has no rows.
_LAST_OF_DAY = (
    'select day, max(load_id) as load_id from ops.loads,'
    ' unnest(generate_date_array(greatest(start_day, @start), least(end_day, @end))) as day'
    " where source = @source and status = '{}' group by day"
)
REFUSED = (
    f'select failed.day as day from ({_LAST_OF_DAY.format("failed")}) as failed'
    f' left join ({_LAST_OF_DAY.format("done")}) as done on failed.day = done.day'
    ' where failed.load_id > coalesce(done.load_id, 0) order by day'
)
LATE = 'select source, rows_late from ops.file_checks where source in unnest(@sources)'
ROWS = (
    'select source, load_id, day, rows_read, rows_rejected from ops.load_days'
    ' where source in unnest(@sources) and day between @start and @end'
)
OUTSIDE = (
    'select source, load_id, file, sum(rows_outside) as rows_outside, min(day) as first_day, max(day) as last_day,'
    ' sum(money) as money from ops.load_outside where source in unnest(@sources)'
    ' group by source, load_id, file order by file'
)


def conflicts_statement(sources: Collection[Source]) -> str:
    """How many further versions there are of the rows of each source that has versions."""
    counts = [
        f"select '{source.name}' as source, count(*) as rows_waiting from bronze.{source.name}_conflicts"
        ' where accepted_at is null and is_restatement is not true'
        for source in sources
        if source.version_columns
    ]
    return ' union all '.join(counts)


def loads(client: Client, sources: Collection[Source]) -> dict[str, list[Load]]:
    """All loads of each source, the first one first; the ledger has those that have ended."""
    files: dict[tuple[str, int], dict[str, tuple[int, datetime]]] = {}
    for row in _ask(client, FILES, sources):
        files.setdefault((row['source'], row['load_id']), {})[row['file']] = row['size'], row['modified_at']
    found: dict[str, list[Load]] = {source.name: [] for source in sources}
    for row in _ask(client, LOADS, sources):
        name, load_id = row['source'], row['load_id']
        of_load = (load_id, row['start_day'], row['end_day'], row['status'], files.get((name, load_id), {}))
        found[name].append(Load(*of_load, row['finished_at'], row['error'], alive=False))
    for row, is_alive in at_work.begun(client, list(found)):
        own = found[row['source']]
        own.append(Load(row['load_id'], row['start_day'], row['end_day'], 'running', {}, None, None, is_alive))
        own.sort(key=lambda load: load.load_id)
    return found


def held(
    client: Client, files: Mapping[str, list[LandingFile]], days: Window | None, asked: Window | None, timezone: str
) -> dict[str, Held]:
    """What is known of each source (``warehouse/base.py``)."""
    sources = [SOURCES[name] for name in files]
    found = {name: Held() for name in files}
    _standing(client, sources, {name: each.standing for name, each in found.items()})
    for row in _ask(client, REJECTS, sources):
        of_source = found[row['source']]
        of_source.standing.rejects += row['rows_waiting']
        if row['has_rows']:
            of_source.rejected.add(row['file'])
        if row['is_left_out'] and (file := _as_it_was(files[row['source']], row)):
            of_source.left_out[file] = row['reason']
    if days:
        for row in _ask(client, ROWS, sources, days):
            found[row['source']].rows[row['load_id'], row['day']] = row['rows_read'], row['rows_rejected']
        for row in _ask(client, OUTSIDE, sources):
            name, load_id, *told = row.values()
            found[name].outside.setdefault(load_id, []).append(Outside(*told))
        for row in seen(client, sources):
            found[row['source']].seen[row['file']] = row['size'], row['modified_at']
        for name, changed in contents.changed(client, [*found], days):
            found[name].changed.append(changed)
        for row in _ask(client, contents.USABLE, sources):
            of_source, load_id = found[row['source']], row['load_id']
            of_source.usable.add(row['file'])
            of_source.noted_since = min(of_source.noted_since or load_id, load_id)
        for source in sources:
            found[source.name].far_off = far_off(client, source, days)
    wanted = [row['source'] for row in _ask(client, ASKED, sources, timezone=timezone) if _wants_news(row)]
    for source in sources:
        if source.name in wanted:
            found[source.name].stale = stale_now(client, source, asked, timezone)
    return found


def far_off(client: Client, source: Source, window: Window) -> list[FarOff]:
    """The days of ``window`` whose volume is far from that of the days around them, as the source declares it."""
    days = volume.looked_at(source, window)
    rows = _ask(client, LOADED, [source], days) if days else []
    found = volume.far_off(source, {row['day']: row['amount'] for row in rows}, window)
    right = _accepted(client, source, 'volume') if found else {}
    return [each for each in found if each.day not in right or not right[each.day].covers(each.rows)]


def stale_now(client: Client, source: Source, window: Window | None, timezone: str) -> Stale | None:
    """Whether a source is stale; None too if the days that are asked for are older than what would be fresh."""
    now = today(timezone)
    if source.freshness is None or (window and window.end < moved(now, -source.freshness.days)):
        return None
    rows = _ask(client, NEWEST_UNTIL, [source], Window(now, now))
    found = stale(source, rows[0]['day'] if rows else None, now)
    return None if found and found.newest in _accepted(client, source, 'freshness') else found


def accept(client: Client, source: Source, finding: Finding, day: date, now: Accepted, by: str, why: str) -> None:
    """Note that a day that is out of the ordinary needs no further look, as it is now."""
    values: dict[str, Any] = {'source': source.name, 'finding': finding, 'day': day, 'by': by, 'why': why}
    values |= {'amount': _text(now.rows), 'usual': _text(now.usual)}
    client.run(ACCEPT, values, what='status')


def refused(client: Client, source: Source, days: Window) -> list[date]:
    """The days whose last load has failed: of one that its volume stopped the ledger has no rows."""
    values = {'source': source.name, 'start': days.start, 'end': days.end}
    return [row['day'] for row in client.run(REFUSED, values, what='status')]


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)


def _accepted(client: Client, source: Source, finding: Finding) -> dict[date, Accepted]:
    """What somebody has accepted of a source last, by day."""
    rows = client.run(ACCEPTED, {'source': source.name, 'finding': finding}, what='status')
    return {row['day']: Accepted(row['found'], row['usual']) for row in rows}


def _wants_news(row: dict[str, Any]) -> bool:
    """Whether a load was ever asked for what was fresh when it ran: who loads old days misses no news."""
    fresh = SOURCES[row['source']].freshness
    return fresh is not None and row['age'] <= fresh.days


def _standing(client: Client, sources: list[Source], found: dict[str, Standing]) -> None:
    for row in _ask(client, LAST_LOADS, sources):
        name, load_id, start, end, finished_at, started_by = row.values()
        told = {'load_id': load_id, 'start': start, 'end': end, 'finished_at': finished_at, 'started_by': started_by}
        found[name].last_load = told
    newest: dict[str, date] = {row['source']: row['day'] for row in _ask(client, NEWEST_DAYS, sources)}
    for name, day in newest.items():
        found[name].newest_day = day
    for row in _ask(client, RULES, sources):
        found[row['source']].rules[row['rule']] = row['amount']
    for row in _ask(client, LATE, sources):
        for lag, rows in json.loads(row['rows_late'] or '{}').items():
            found[row['source']].late[lag] = found[row['source']].late.get(lag, 0) + rows
    for standing in found.values():
        standing.late = dict(sorted(standing.late.items(), key=lambda each: int(each[0])))
    if statement := conflicts_statement(sources):
        for row in client.run(statement, what='status'):
            found[row['source']].conflicts = row['rows_waiting']


def _as_it_was(files: list[LandingFile], row: dict[str, Any]) -> LandingFile | None:
    """The file that a load has left out, if it is still as the load found it."""
    state = row['file'], row['size'], row['modified_at']
    return next((file for file in files if (file.name, str(file.size), file.modified_at.isoformat()) == state), None)


def _ask(
    client: Client,
    statement: str,
    sources: Collection[Source],
    days: Window | None = None,
    *,
    timezone: str | None = None,
) -> _Rows:
    values: dict[str, Any] = {'sources': [source.name for source in sources]}
    if days:
        values |= {'start': days.start, 'end': days.end}
    if timezone:
        values['timezone'] = timezone
    return client.run(statement, values, what='status')
