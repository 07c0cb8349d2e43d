"""Proof: where a number comes from: the files, the loads, the rows."""

from datetime import date
from decimal import Decimal
from typing import Any

from kly_mage.common.window import Window
from kly_mage.dashboard import numbers
from kly_mage.dashboard.parts import Column, chosen, head, link, note, table

MOST = 200
PLACES = {
    'rows_read': 'Read',
    'rows_new': 'New',
    'rows_already_loaded': 'Already loaded',
    'rows_duplicate': 'Duplicate',
    'rows_conflicting': 'Conflicting',
    'rows_rejected': 'Rejected',
    'rows_superseded': 'Superseded',
}
MEASURES = ('pageviews', 'user_engagements', 'impressions', 'clicks', 'revenue_usd')


def of_load(load: int) -> None:
    """One load: its files, its days."""
    head(f'Load {load}')
    found = numbers.rows('loads', start='-infinity', end='infinity', load=load, limit=1)
    if not found.rows:
        note('There is no load of this number.', ('health', link('health')))
        return
    row = dict(zip(found.columns, found.rows[0], strict=True))
    note(f'{row["source"]}, {row["start_day"]} to {row["end_day"]}: {row["status"]}. Started by {row["started_by"]}.')
    if row['error']:
        note(row['error'])
    loads_of('load', numbers.rows('loads_of_day', day=None, load=load))
    files = numbers.rows('files_of_load', load=load)
    table(
        f'load_{load}_files',
        [
            Column('file', 'File'),
            Column('size', 'Bytes', 'count'),
            Column('modified_at', 'Changed', 'instant'),
            Column('left_out', 'Left out because'),
        ],
        files.columns,
        files.rows,
        heading='Files',
    )


def of_day(day: date, article: str) -> None:
    """A day of gold, or of one article."""
    head(f'{day}')
    if article:
        note(
            f'Article {article}', ('its days', link('articles', article=article)), ('the whole day', link('proof', day=day))
        )
    gold = numbers.by_day(Window(day, day), article or None)
    totals = dict(zip(gold.numbers, gold.totals, strict=True))
    changes = numbers.changes(day, article)
    if not _adds_up(changes, totals):  # corrections, or a clock that was set: ask all of bronze
        changes = numbers.rows('changes', day=day, article=article)
    verdict = 'They add up to gold.' if _adds_up(changes, totals) else 'They do not add up to gold: run verify.'
    sums = {name: totals[name] for name in MEASURES}
    table(
        f'proof_{day}_numbers',
        [
            Column('load_id', 'Load', 'number', lambda row: link('proof', load=row['load_id'])),
            Column('source', 'Source'),
            Column('pageviews', 'Pageviews', 'count'),
            Column('user_engagements', 'Engagements', 'count'),
            Column('impressions', 'Impressions', 'count'),
            Column('clicks', 'Clicks', 'count'),
            Column('revenue_usd', 'Revenue, USD', 'money'),
        ],
        changes.columns,
        changes.rows,
        heading='The numbers, by load',
        remark=f'{verdict} The last line is gold. Sessions do not add up over loads, and are {totals["sessions"] or 0:,}.',
        totals=sums,
    )
    loads_of('day', numbers.rows('loads_of_day', day=day, load=None))
    files = numbers.rows('files_of_day', day=day)
    table(
        f'proof_{day}_files',
        [
            Column('file', 'File'),
            Column('rows', 'Rows of this day', 'count'),
            Column('money', 'Money of this day, USD', 'money'),
            Column('load_id', 'Load', 'number', lambda row: link('proof', load=row['load_id'])),
            Column('modified_at', 'Changed', 'instant'),
        ],
        files.columns,
        files.rows,
        heading='Files',
        remark='With the usable rows of this day, equal ones included.',
    )
    _rows(day, article)


def _rows(day: date, article: str) -> None:
    asked: dict[str, Any] = {'day': day, 'article': article}
    served = asked | numbers.moments('gam_delivery', Window(day, day), article)
    ads = numbers.rows('rows_gam', **served, limit=MOST)
    table(
        f'proof_{day}_gam_delivery',
        [
            Column('served_at', 'Served', 'instant'),
            Column('ad_unit', 'Ad unit'),
            Column('line_item', 'Line item'),
            Column('content_id', 'Article', 'text', lambda row: link('proof', day=day, article=row['content_id'])),
            Column('impressions', 'Impressions', 'count'),
            Column('clicks', 'Clicks', 'count'),
            Column('revenue_usd', 'Revenue, USD', 'money'),
            Column('file', 'File'),
            Column('line', 'Line', 'number'),
        ],
        ads.columns,
        ads.rows,
        heading='Rows of ads',
        remark=f'The first {MOST}; the file has all.' if len(ads.rows) == MOST else '',
        whole=lambda: numbers.everything('rows_gam', **served, limit=None),
    )
    seen = asked | numbers.moments('ga4_events', Window(day, day), article)
    events = numbers.rows('rows_ga4', **seen, limit=MOST)
    table(
        f'proof_{day}_ga4_events',
        [
            Column('event_timestamp', 'Time', 'instant'),
            Column('event_name', 'Event'),
            Column('content_id', 'Article', 'text', lambda row: link('proof', day=day, article=row['content_id'])),
            Column('session_id', 'Session'),
            Column('page_location', 'Page'),
            Column('device_category', 'Device'),
            Column('country', 'Country'),
            Column('load_id', 'Load', 'number', lambda row: link('proof', load=row['load_id'])),
        ],
        events.columns,
        events.rows,
        heading='Rows of events',
        remark=f'The first {MOST}; the file has all.' if len(events.rows) == MOST else '',
        whole=lambda: numbers.everything('rows_ga4', **seen, limit=None),
    )


def loads_of(what: str, found: Any) -> None:
    """What became of the rows, by load and day."""
    table(
        f'proof_{what}_loads',
        [
            Column('load_id', 'Load', 'number', lambda row: link('proof', load=row['load_id'])),
            Column('day', 'Day', 'day', lambda row: link('proof', day=row['day'])),
            Column('source', 'Source'),
            *(Column(name, label, 'count') for name, label in PLACES.items()),
            Column('finished_at', 'Finished', 'instant'),
        ],
        found.columns,
        found.rows,
        heading='Loads: what became of the rows',
    )


def _adds_up(changes: Any, totals: dict[str, Any]) -> bool:
    at = {name: changes.columns.index(name) for name in MEASURES}
    return all(
        sum((Decimal(row[at[name]] or 0) for row in changes.rows), Decimal(0)) == Decimal(totals[name] or 0)
        for name in MEASURES
    )


def _chosen_day() -> date | None:
    try:
        return date.fromisoformat(chosen('day'))
    except ValueError:
        return None


asked_load, asked_day = chosen('load'), _chosen_day()
if asked_load.isdecimal() and len(asked_load) < 19:
    of_load(int(asked_load))
elif asked_day:
    of_day(asked_day, chosen('article'))
else:
    reach = numbers.reach()
    head('Proof')
    newest = [('the newest day', link('proof', day=reach.end))] if reach else []
    note('Every number and every day of the other pages leads here.', *newest)
