"""Sites, sections or authors: who is read, and what does it earn?"""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from kly_mage.common.text import counted
from kly_mage.dashboard import charts, numbers
from kly_mage.dashboard.parts import Column, link, table, title

BY = {
    'sites': ('Sites', 'site', 'Site'),
    'sections': ('Sections', 'section', 'Section'),
    'authors': ('Authors', 'author', 'Author'),
}


def show(page: str) -> None:
    """One of the three pages."""
    words, by, label = BY[page]
    days = title(words)
    found = numbers.added_up(days, by, sort='revenue_usd')
    columns = [*found.texts, *found.numbers]
    at = {name: columns.index(name) for name in columns}
    places = st.columns(2)
    for place, (name, head) in zip(places, (('revenue_usd', 'Revenue, USD'), ('pageviews', 'Pageviews')), strict=True):
        with place:
            charts.bars(f'{head}, by {by}', [(row[0], row[at[name]]) for row in found.rows])

    def proof(row: Mapping[str, Any]) -> str:
        return link('proof', **{by: row[by]}, **numbers.ends(days))

    table(
        page,
        [
            Column(by, label, 'text', lambda row: link('articles', **{by: row[by]}, **numbers.ends(days))),
            Column('pageviews', 'Pageviews', 'count'),
            Column('revenue_usd', 'Revenue, USD', 'money'),
            Column('page_rpm_usd', 'RPM, USD', 'money'),
            Column('sessions', 'Sessions', 'count'),
            Column('impressions', 'Impressions', 'count'),
            Column('clicks', 'Clicks', 'count'),
            Column('ecpm_usd', 'eCPM, USD', 'money'),
        ],
        columns,
        found.rows,
        heading=counted(len(found.rows), by),
        remark=f'A {by} leads to its articles, a number to its days, loads and files. '
        'Sessions add up by article: one that reads two counts on both.',
        totals=dict(zip(found.numbers, found.totals, strict=True)),
        proof=proof,
        whole_proof=link('proof', **numbers.ends(days)),
    )
