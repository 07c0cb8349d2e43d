"""Articles: which were read most, and the life of one."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from kly_mage.common.text import counted
from kly_mage.dashboard import charts, numbers
from kly_mage.dashboard.parts import Column, Kind, choice, chosen, link, note, table, tiles, title, written

NUMBERS: dict[str, tuple[str, Kind]] = {
    'pageviews': ('Pageviews', 'count'),
    'revenue_usd': ('Revenue, USD', 'money'),
    'page_rpm_usd': ('RPM, USD', 'money'),
    'sessions': ('Sessions', 'count'),
    'impressions': ('Impressions', 'count'),
    'clicks': ('Clicks', 'count'),
}
SORTED = {name: NUMBERS[name][0] for name in ('pageviews', 'revenue_usd', 'page_rpm_usd', 'sessions', 'impressions')}
COUNTS = [Column(name, label, kind) for name, (label, kind) in NUMBERS.items()]
SESSIONS = 'Sessions add up by article: one that reads two counts on both.'


def all_of_them() -> None:
    """The list, and a search."""
    days = title('Articles')
    search_place, sort_place, count_place = st.columns([3, 2, 1])
    with search_place:
        search = written('Search in titles, or an id', 'search')
    with sort_place:
        sort = choice('Sorted by', 'sort', SORTED)
    with count_place:
        limit = choice('Rows', 'rows', {'50': '50', '200': '200', '1000': '1,000'})
    only = {name: chosen(name) for name in ('site', 'section', 'author')}
    asked = {'start': days.start, 'end': days.end, 'search': search, 'sort': sort, **only}
    found = numbers.rows('articles', limit=int(limit), **asked)
    if any(only.values()):
        note(', '.join(f'{name} {value}' for name, value in only.items() if value), ('all articles', link('articles')))
    names = found.columns[:-3]
    rows = [row[:-3] for row in found.rows]
    count, pageviews, revenue = found.rows[0][-3:] if found.rows else (0, 0, 0)
    of_days = numbers.ends(days)
    table(
        'articles',
        [
            Column('title', 'Title', 'text', lambda row: link('articles', article=row['content_id'], **of_days)),
            *COUNTS[:3],
            Column('site', 'Site'),
            Column('section', 'Section'),
            Column('author', 'Author'),
            *COUNTS[3:],
            Column('content_id', 'Id'),
        ],
        names,
        rows,
        heading=counted(count, 'article'),
        remark=SESSIONS + ' A number leads to its days, loads and files.',
        count=count,
        totals={'pageviews': pageviews, 'revenue_usd': revenue},
        proof=lambda row: link('proof', article=row['content_id'], **of_days),
        whole_proof=link('proof', **{name: value or None for name, value in (only | {'search': search}).items()}, **of_days),
        most=int(limit),
        whole=lambda: (names, [row[:-3] for row in numbers.rows('articles', limit=None, **asked).rows]),
    )


def one(article: str) -> None:
    """Its life by day, its versions, the ads beside it."""
    versions = numbers.rows('versions', article=article)
    newest = dict(zip(versions.columns, versions.rows[0], strict=True)) if versions.rows else {}
    days = title(str(newest.get('title') or article))
    facts = [f'{name} {newest[name]}' for name in ('site', 'section', 'author') if newest.get(name)]
    facts += [f'published {newest["publish_timestamp"]:%Y-%m-%d %H:%M} UTC'] if newest.get('publish_timestamp') else []
    note(f'Id {article}. ' + ', '.join(facts), ('all articles', link('articles', **numbers.ends(days))))
    found = numbers.by_day(days, article)
    totals = dict(zip(found.numbers, found.totals, strict=True))
    shown = ('pageviews', 'revenue_usd', 'page_rpm_usd', 'sessions')
    proof = link('proof', article=article, **numbers.ends(days))
    tiles(((NUMBERS[name][0], totals[name], NUMBERS[name][1], None) for name in shown), proof)
    all_days = list(days)
    places = st.columns(2)
    for place, name in zip(places, ('pageviews', 'revenue_usd'), strict=True):
        at = 1 + found.numbers.index(name)
        with place:
            charts.by_day(NUMBERS[name][0], {row[0]: row[at] for row in found.rows}, days=all_days)

    def day_of(row: Mapping[str, Any]) -> str:
        return link('proof', day=row['date'], article=article)

    table(
        f'article_{article}_by_day',
        [Column('date', 'Day', 'day', day_of), *COUNTS],
        (*found.texts, *found.numbers),
        found.rows[::-1],
        heading='By day',
        remark='A day and its numbers lead to files, loads and rows.',
        totals=totals,
        proof=day_of,
        whole_proof=proof,
    )
    beside = numbers.rows('ads_beside', article=article, start=days.start, end=days.end)
    table(
        f'article_{article}_ads',
        [
            Column('name', 'Line item'),
            Column('impressions', 'Impressions', 'count'),
            Column('clicks', 'Clicks', 'count'),
            Column('revenue_usd', 'Revenue, USD', 'money'),
            Column('ecpm_usd', 'eCPM, USD', 'money'),
        ],
        beside.columns,
        beside.rows,
        heading='Ads beside it',
        remark='A number leads to the days that make it, their loads and files.',
        proof=lambda row: link('proof', line_item=row['name'], article=article, **numbers.ends(days)),
        totals={name: sum(row[at] or 0 for row in beside.rows) for at, name in enumerate(beside.columns) if at in (2, 3, 4)},
        whole_proof=proof,
    )
    table(
        f'article_{article}_versions',
        [
            Column('delivered_at', 'Delivered', 'instant'),
            Column('title', 'Title'),
            Column('site', 'Site'),
            Column('section', 'Section'),
            Column('author', 'Author'),
            Column('file', 'File'),
            Column('line', 'Line', 'count'),
            Column('load_id', 'Load', 'number', lambda row: link('proof', load=row['load_id'])),
        ],
        versions.columns,
        versions.rows,
        heading='Versions',
        remark='As the CMS has delivered them; the first counts.',
        proof=lambda row: link('proof', load=row['load_id']),
    )


if article := chosen('article'):
    one(article)
else:
    all_of_them()
