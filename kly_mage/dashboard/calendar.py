"""The calendar of days per source: one square per day, told apart by sign as well as by colour."""

from collections.abc import Mapping
from datetime import date
from itertools import groupby
from typing import Any

import streamlit as st

from kly_mage.dashboard.parts import WORDS, Column, link, note, subhead, table, text
from kly_mage.warehouse.gold import Table

SIGNS = {'loaded': '■', 'loaded, with a remark': '▲', 'no rows': '○', 'not loaded': '✕'}


def calendar(found: Table, provisional: Mapping[date, str]) -> None:
    """Draw it, and as a table.

    Args:
        found: of the query ``calendar``.
        provisional: days whose numbers are not final, with the sources.
    """
    subhead('Days')
    legend = ', '.join(f'{sign} {state}' for state, sign in SIGNS.items())
    note(f'{legend}; underlined: provisional. A day leads to its files. The command status sees the files, too.', WORDS)
    rows = [dict(zip(found.columns, row, strict=True)) for row in found.rows]
    drawn = []
    for source, of_source in groupby(rows, lambda row: row['source']):
        days = list(of_source)
        drawn.append(f'<h3 class="kly-calendar-of">{text(source)}</h3><ol class="kly-calendar">')
        drawn += [_day(row, provisional) for row in days]
        drawn.append('</ol>')
    st.html(''.join(drawn))
    remarks = [row for row in found.rows if row[2] in ('loaded, with a remark', 'not loaded')]
    table(
        'calendar',
        [
            Column('day', 'Day', 'day', lambda row: link('proof', day=row['day'])),
            Column('source', 'Source'),
            Column('state', 'State'),
            Column('rows_new', 'Rows', 'count'),
            Column('rejected', 'Rejected', 'count'),
            Column('conflicting', 'Conflicting', 'count'),
            Column('load_id', 'Last load', 'number', lambda row: link('proof', load=row['load_id'])),
        ],
        found.columns,
        remarks,
        heading=f'Days with a remark: {len(remarks):,}',
        remark='The file has all days.',
        proof=lambda row: link('proof', day=row['day']),
        whole=lambda: (found.columns, found.rows),
    )


def _day(row: Mapping[str, Any], provisional: Mapping[date, str]) -> str:
    open_ = row['source'] in provisional.get(row['day'], '').split(', ')
    state = f'{row["state"]}{", provisional" if open_ else ""}'
    told = text(f'{row["day"]}: {state}, {row["rows_new"]:,} rows')
    kind = 'kly-open' if open_ else ''
    place = link('proof', day=row['day'])
    said = f'title="{told}" aria-label="{told}"'
    return f'<li class="{kind}"><a target="_self" href="{place}" {said}>{SIGNS[row["state"]]}</a></li>'
