"""Proof: where a number comes from: the files, the loads, the rows."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from kly_mage.common.window import Window
from kly_mage.dashboard import numbers
from kly_mage.dashboard.parts import MOST, WORDS, Column, Kind, chosen, head, link, note, table, title

PLACES = {
    'rows_read': 'Read',
    'rows_new': 'New',
    'rows_already_loaded': 'Already loaded',
    'rows_duplicate': 'Duplicate',
    'rows_conflicting': 'Conflicting',
    'rows_restated': 'Restated',
    'rows_rejected': 'Rejected',
    'rows_superseded': 'Superseded',
    'rows_forgotten': 'Forgotten',
}
BY_DAY: dict[str, tuple[str, Kind]] = {
    'pageviews': ('Pageviews', 'count'),
    'sessions': ('Sessions', 'count'),
    'impressions': ('Impressions', 'count'),
    'clicks': ('Clicks', 'count'),
    'revenue_usd': ('Revenue, USD', 'money'),
}
ADS = {
    'ad_unit': 'ad_unit',
    'line_item': 'line_item',
    'creative': 'creative',
    'ad_site': 'site',
}  # in the address, in bronze
MEASURES = ('pageviews', 'user_engagements', 'impressions', 'clicks', 'revenue_usd')


def of_load(load: int) -> None:
    """One load: its files, its days."""
    head(f'Load {load}')
    ever = {'start': date.min, 'end': date.max}
    found = numbers.rows('loads', **ever, load=load, limit=1)
    if not found.rows:
        note('There is no load of this number.', ('health', link('health')))
        return
    row = dict(zip(found.columns, found.rows[0], strict=True))
    note(f'{row["source"]}, {row["start_day"]} to {row["end_day"]}: {row["status"]}. Started by {row["started_by"]}.')
    if row['error']:
        note(row['error'])
    loads_of('load', **ever, load=load)
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
    verdict = (
        'They add up to gold.'
        if _adds_up(changes, totals)
        else 'They do not add up to gold: python -m kly_mage verify says where.'
    )
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
        proof=lambda row: link('proof', load=row['load_id']),
        whole_proof=link('articles', article=article, from_=day, to=day) if article else link('articles', from_=day, to=day),
    )
    loads_of('day', start=day, end=day, load=None)
    files_of('day', start=day, end=day)
    _rows(day, article)


def of_days() -> None:
    """Some days of gold, of one thing where one is asked for: day by day, with the loads and files behind them."""
    days = title('Proof')
    span: dict[str, Any] = {'start': days.start, 'end': days.end}
    only = {name: chosen(name) for name in ('site', 'section', 'author', 'article', 'search')}
    told = ', '.join(f'{name.replace("_", " ")} {value}' for name in (*only, *ADS) if (value := chosen(name)))
    if told:
        note(told, ('all of these days', link('proof', **numbers.ends(days))))
    ads = _chosen_ads()
    if ads:
        found = numbers.rows('days_of_ads', by=ADS[ads], wanted=chosen(ads), article=only['article'], **span)
    else:
        found = numbers.rows('days', **span, **only)
    article = only['article'] or None

    def place(row: Mapping[str, Any]) -> str:
        return link('proof', day=row['day'], article=article, **({ads: chosen(ads)} if ads else {}))

    shown = [Column('day', 'Day', 'day', place)]
    shown += [Column(name, label, kind) for name, (label, kind) in BY_DAY.items() if name in found.columns]
    sums = {name: sum(row[at] or 0 for row in found.rows) for at, name in enumerate(found.columns) if at}
    table(
        'proof_days',
        shown,
        found.columns,
        found.rows,
        heading='The numbers, by day',
        remark='A day and its numbers lead to their rows.',
        totals=sums,
        proof=place,
    )
    loads_of('days', **span, load=None)
    files_of('days', **span)


def _rows(day: date, article: str) -> None:
    asked: dict[str, Any] = {'day': day, 'article': article}
    by = _chosen_ads()
    served = asked | numbers.moments('gam_delivery', Window(day, day), article)
    served |= {'by': ADS[by] if by else '', 'wanted': chosen(by) if by else ''}
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
        heading=f'Rows of ads: {by.replace("_", " ")} {chosen(by)}' if by else 'Rows of ads',
        remark=f'The first {MOST}; the file has all.' if len(ads.rows) == MOST else '',
        whole=lambda: numbers.everything('rows_gam', **served, limit=None),
    )
    if by:
        return
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


def loads_of(what: str, **asked: Any) -> None:
    """What became of the rows, by load and day; of which loads, is asked as ``loads_of_days`` takes it."""
    found = numbers.rows('loads_of_days', **asked, limit=MOST)
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
        remark='Each row that was read has one place.',
        count=_count(found),
        links=[WORDS],
        proof=lambda row: link('proof', load=row['load_id']),
        whole=lambda: numbers.everything('loads_of_days', **asked, limit=None),
    )


def files_of(what: str, **asked: Any) -> None:
    """The files that hold rows of some days."""
    found = numbers.rows('files_of_days', **asked, limit=MOST)
    table(
        f'proof_{what}_files',
        [
            Column('file', 'File'),
            Column('load_id', 'Load', 'number', lambda row: link('proof', load=row['load_id'])),
            Column('day', 'Day', 'day', lambda row: link('proof', day=row['day'])),
            Column('rows', 'Rows of the day', 'count'),
            Column('money', 'Money of the day, USD', 'money'),
            Column('modified_at', 'Changed', 'instant'),
        ],
        found.columns,
        found.rows,
        heading='Files',
        remark='With the usable rows of a day, equal ones included.',
        count=_count(found),
        proof=lambda row: link('proof', load=row['load_id']),
        whole=lambda: numbers.everything('files_of_days', **asked, limit=None),
    )


def _count(found: Any) -> int:
    """How many lines there are, of which some were asked for."""
    return found.rows[0][-1] if found.rows else 0


def _adds_up(changes: Any, totals: dict[str, Any]) -> bool:
    at = {name: changes.columns.index(name) for name in MEASURES}
    return all(
        sum((Decimal(row[at[name]] or 0) for row in changes.rows), Decimal(0)) == Decimal(totals[name] or 0)
        for name in MEASURES
    )


def _chosen_ads() -> str | None:
    """Which part of the ads is asked for: the name of its column in the address."""
    return next((name for name in ADS if chosen(name)), None)


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
    of_days()
