"""Ads: what units and line items earn, what contradicts itself, what was restated."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from kly_mage.dashboard import charts, numbers
from kly_mage.dashboard.numbers import everything
from kly_mage.dashboard.parts import MOST, Column, choice, link, table, title
from kly_mage.declared import SOURCES

is_whole = SOURCES['gam_delivery'].holds_whole_days
BY = {'ad_unit': 'Ad unit', 'line_item': 'Line item', 'creative': 'Creative', 'site': 'Site'}

days = title('Ads')
by = choice('By', 'by', BY)
found = numbers.rows('ads', by=by, start=days.start, end=days.end)
at = {name: found.columns.index(name) for name in found.columns}
charts.bars(f'Revenue, USD, by {BY[by].lower()}', [(row[0], row[at['revenue_usd']]) for row in found.rows])


def proof(row: Mapping[str, Any]) -> str:
    """The way to the numbers of a row by day."""
    # A site here is the one that served the ad, in gold that of the article.
    return link('proof', **{'ad_site' if by == 'site' else by: row['name']}, **numbers.ends(days))


table(
    f'ads_by_{by}',
    [
        Column('name', BY[by], 'text', proof),
        Column('impressions', 'Impressions', 'count'),
        Column('clicks', 'Clicks', 'count'),
        Column('revenue_usd', 'Revenue, USD', 'money'),
        Column('ecpm_usd', 'eCPM, USD', 'money'),
        Column('ctr', 'Clicks per impression', 'ratio'),
        Column('count_rows', 'Rows', 'count'),
    ],
    found.columns,
    found.rows,
    heading=f'By {BY[by].lower()}',
    remark='What counts: the first version of a row, unless the declaration says otherwise. A number leads to its days.',
    totals={name: sum(row[at[name]] or 0 for row in found.rows) for name in found.columns[1:5]},
    proof=proof,
    whole_proof=link('proof', **numbers.ends(days)),
)

if not is_whole:
    conflicts = numbers.rows('conflicts', start=days.start, end=days.end, limit=MOST)
    count = conflicts.rows[0][-1] if conflicts.rows else 0
    if count:
        by_day = dict(numbers.rows('conflicts_by_day', start=days.start, end=days.end).rows)
        charts.by_day('Conflicts, by the day of the ads', {day: by_day.get(day, 0) for day in days}, days=list(days))
    table(
        'conflicts',
        [
            Column('day', 'Day', 'day', lambda row: link('proof', day=row['day'])),
            Column('ad_unit', 'Ad unit'),
            Column('line_item', 'Line item'),
            Column('content_id', 'Article', 'text', lambda row: link('articles', article=row['content_id'])),
            Column('counted_impressions', 'Impressions that count', 'count'),
            Column('impressions', 'and the others', 'count'),
            Column('counted_revenue_usd', 'Revenue that counts, USD', 'money'),
            Column('revenue_usd', 'and the other, USD', 'money'),
            Column('file', 'File'),
            Column('line', 'Line', 'count'),
            Column('state', 'State'),
        ],
        conflicts.columns,
        conflicts.rows,
        heading=f'Conflicts: {count:,}',
        remark='Rows with the key of another and other values: the first counts, the others wait (command conflicts).',
        proof=lambda row: link('proof', load=row['load_id']),
        count=count,
        whole=lambda: everything('conflicts', start=days.start, end=days.end, limit=None),
    )

restated = numbers.rows('corrections_gam' if is_whole else 'restatements', start=days.start, end=days.end)
if restated.rows:
    at = {name: restated.columns.index(name) for name in ('day', 'revenue_usd')}
    moved = dict.fromkeys(days, Decimal(0))
    for row in restated.rows:
        moved[row[at['day']]] += row[at['revenue_usd']] or 0
    charts.by_day('Restated revenue, USD, by the day of the ads', moved, days=list(days))
table(
    'restatements',
    [
        Column('restated_at', 'Restated', 'instant'),
        Column('day', 'Day', 'day', lambda row: link('proof', day=row['day'])),
        Column('load_id', 'Load', 'number', lambda row: link('proof', load=row['load_id'])),
        *([] if is_whole else [Column('count_rows', 'Rows', 'count')]),
        Column('impressions', 'Impressions, by', 'count'),
        Column('clicks', 'Clicks, by', 'count'),
        Column('revenue_usd', 'Revenue by, USD', 'money'),
    ],
    restated.columns,
    restated.rows,
    heading=f'Restatements: {len(restated.rows):,}',
    proof=lambda row: link('proof', day=row['day']),
    remark='What files delivered later have changed, each of which holds some days whole.'
    if is_whole
    else "What newer versions of rows have changed, where the declaration lets them count (restatements='apply').",
)
