"""Overview: how much was read, and what did it earn?"""

from datetime import date

import streamlit as st

from kly_mage.dashboard import charts, numbers
from kly_mage.dashboard.parts import Column, Kind, link, table, tiles, title

SHOWN: list[tuple[str, str, Kind]] = [
    ('pageviews', 'Pageviews', 'count'),
    ('sessions', 'Sessions, by article', 'count'),
    ('revenue_usd', 'Revenue, USD', 'money'),
    ('page_rpm_usd', 'RPM, USD per 1,000 pageviews', 'money'),
]

days = title('Overview')
earlier = numbers.before(days)
now, then = numbers.by_day(days), numbers.by_day(earlier)
provisional = numbers.provisional(days)

totals, totals_before = (dict(zip(found.numbers, found.totals, strict=True)) for found in (now, then))
tiles(((label, totals[name], kind, totals_before[name]) for name, label, kind in SHOWN), link('proof', **numbers.ends(days)))

all_days = list(days)
for position, (name, label, _) in enumerate(SHOWN):
    if position % 2 == 0:
        places = st.columns(2)
    at = 1 + now.numbers.index(name)
    of_day: dict[date, object] = {row[0]: row[at] for row in now.rows}
    of_day_before = {row[0]: row[at] for row in then.rows}
    with places[position % 2]:
        charts.by_day(label, of_day, [(day, of_day_before.get(day)) for day in earlier], provisional, all_days)

told = 'The dashed line is the days before. A hollow point is a provisional day: another delivery of it is to be expected.'
names = [*now.texts, *now.numbers, 'state']
rows = [(*row, f'provisional: {provisional[row[0]]}' if row[0] in provisional else 'final') for row in now.rows]
table(
    'by_day',
    [
        Column('date', 'Day', 'day', lambda row: link('proof', day=row['date'])),
        *(Column(name, label, kind) for name, label, kind in SHOWN),
        Column('impressions', 'Impressions', 'count'),
        Column('clicks', 'Clicks', 'count'),
        Column('state', 'State'),
    ],
    names,
    rows[::-1],
    heading='By day',
    remark=f'{told} A number leads to its files, loads and rows.',
    totals=totals,
    proof=lambda row: link('proof', day=row['date']),
    whole_proof=link('proof', **numbers.ends(days)),
)
