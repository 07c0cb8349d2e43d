"""Drawings by day, as Vega-Lite: one measure each, the days before as a dashed line, provisional days hollow."""

from collections.abc import Mapping, Sequence
from datetime import date
from html import escape
from typing import Any

import streamlit as st

from kly_mage.common.text import printable

HEIGHT = 190
# Names of ad units tell apart at their end.
_END = "length(datum.label) > 22 ? '…' + slice(datum.label, -21) : datum.label"
_NAMES = {'labelExpr': _END, 'labelLimit': 240}
NOW, BEFORE = 'these days', 'the days before'
_COLOURS = {'light': ('#1f5fa8', '#77808d', '#1c2430'), 'dark': ('#8ab8ee', '#8b95a3', '#e6eaf0')}


def by_day(
    label: str,
    values: Mapping[date, Any],
    before: Sequence[tuple[date, Any]] = (),
    provisional: Mapping[date, str] | None = None,
    days: Sequence[date] = (),
) -> None:
    """Draw one number by day; a drawing rounds, tables do not.

    Args:
        label: what it is, with its unit.
        values: by day; a day without is a gap.
        before: of the days before, in their order, drawn below the same days.
        provisional: days whose numbers are not final.
        days: all days of the drawing, in their order.
    """
    hollow = provisional or {}
    points = [_point(day, NOW, day, values.get(day), 'provisional' if day in hollow else 'final') for day in days]
    points += [_point(day, BEFORE, of, value, 'final') for day, (of, value) in zip(days, before, strict=False)]
    now, pale, ink = _colours()
    heights = [point['value'] for point in points if point['value'] is not None] or [1.0]
    # The ends of the axes are said: the data come after the drawing, which would complain that it has none to find them in.
    span = {'domain': [days[0].isoformat(), days[-1].isoformat()]}
    range_ = {'domain': [min(0.0, *heights), max(0.0, *heights) or 1.0], 'nice': True}
    x = {'field': 'day', 'type': 'temporal', 'title': None, 'scale': span, 'axis': {'format': '%b %d', 'labelOverlap': True}}
    y = {'field': 'value', 'type': 'quantitative', 'title': None, 'scale': range_, 'axis': {'format': '~s', 'tickCount': 4}}
    hints = [
        {'field': 'of', 'type': 'nominal', 'title': 'day'},
        {'field': 'value', 'type': 'quantitative', 'title': label, 'format': ',.2f'},
        {'field': 'state', 'type': 'nominal', 'title': 'state'},
    ]
    line = {'x': x, 'y': y, 'tooltip': hints}
    fill = {'condition': {'test': "datum.state === 'final'", 'value': now}, 'value': 'transparent'}
    pale_line = {
        'transform': [{'filter': f"datum.what === '{BEFORE}'"}],
        'mark': {'type': 'line', 'color': pale, 'strokeDash': [4, 3]},
        'encoding': line,
    }
    spec = {
        'height': HEIGHT,
        'config': {'axis': {'labelColor': ink}},
        'description': f'{label} by day',
        'data': {'values': points},
        'layer': [
            *([pale_line] if any(value is not None for _, value in before) else ()),
            {
                'transform': [{'filter': f"datum.what === '{NOW}'"}],
                'mark': {'type': 'line', 'color': now},
                'encoding': line,
            },
            {
                'transform': [{'filter': f"datum.what === '{NOW}'"}],
                'mark': {'type': 'point', 'stroke': now, 'strokeWidth': 1.5, 'size': 34, 'filled': False},
                'encoding': line | {'fill': fill},
            },
        ],
    }
    st.html(f'<p class="kly-chart">{label}</p>')
    st.vega_lite_chart(spec, width='stretch')


def bars(label: str, values: Sequence[tuple[str, Any]], most: int = 12) -> None:
    """Draw a number by name, the highest first; of many, the first ones.

    Args:
        label: what it is, with its unit.
        values: name and number.
        most: how many are drawn.
    """
    shown = sorted(values, key=lambda each: each[1] or 0, reverse=True)[:most]
    points = [{'name': printable(name, 40), 'value': float(value or 0)} for name, value in shown]
    if not points:
        return
    now, _, ink = _colours()
    heights = [float(value or 0) for _, value in shown]
    names = {'domain': [point['name'] for point in points]}
    amounts = {'domain': [min(0.0, *heights), max(0.0, *heights) or 1.0], 'nice': True}
    spec = {
        'height': 40 + 22 * len(points),
        'config': {'axis': {'labelColor': ink}},
        'description': label,
        'data': {'values': points},
        'mark': {'type': 'bar', 'color': now},
        'encoding': {
            'y': {
                'field': 'name',
                'type': 'nominal',
                'title': None,
                'scale': names,
                'axis': _NAMES,
            },
            'x': {'field': 'value', 'type': 'quantitative', 'title': None, 'scale': amounts, 'axis': {'format': '~s'}},
            'tooltip': [
                {'field': 'name', 'type': 'nominal', 'title': 'name'},
                {'field': 'value', 'type': 'quantitative', 'title': label, 'format': ',.2f'},
            ],
        },
    }
    st.html(f'<p class="kly-chart">{escape(label)}</p>')
    st.vega_lite_chart(spec, width='stretch')


def _colours() -> tuple[str, str, str]:
    """For what is drawn, for what is pale, and for words."""
    return _COLOURS['dark' if st.context.theme.type == 'dark' else 'light']


def _point(day: date, what: str, of: date, value: Any, state: str) -> dict[str, Any]:
    drawn = None if value is None else float(value)
    return {'day': day.isoformat(), 'what': what, 'of': of.isoformat(), 'value': drawn, 'state': state}
