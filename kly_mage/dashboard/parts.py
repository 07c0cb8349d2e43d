"""What the pages are made of: days to choose, tiles, tables with links and a download, remarks.

Everything somebody else wrote, such as titles and names of files, goes through ``text``: never as Markdown, never as HTML.
"""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from html import escape
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode

import streamlit as st

from kly_mage.common.errors import LOAD
from kly_mage.common.records import cell
from kly_mage.common.tables import cents
from kly_mage.common.text import printable
from kly_mage.common.window import Window
from kly_mage.dashboard import numbers

WORDS = ('what the words mean', 'words')
DAYS = 31  # shown at first
MOST = 100  # rows of a table that are drawn: a browser takes a second for a thousand of them, and the file has all
LONGEST = 300  # characters of a text in a table; the file has all
Kind = Literal['text', 'day', 'count', 'money', 'ratio', 'instant', 'number']
_RIGHT = ('count', 'money', 'ratio', 'number')


@dataclass(frozen=True)
class Column:
    """A column of a table on a page.

    Attributes:
        name: as the query calls it, and the file that is downloaded.
        label: its header.
        kind: how a value is shown.
        link: gives the page and its parameters for a row, which is looked at by the names of its columns; None for none.
    """

    name: str
    label: str
    kind: Kind = 'text'
    link: Callable[[Mapping[str, Any]], str | None] | None = None


def page_of(name: str) -> Path:
    """The file of a page."""
    return Path(__file__).parent / 'pages' / f'{name}.py'


def style() -> None:
    """What Streamlit's theme does not say: tables, tiles and their colours, which follow its light and dark."""
    st.html(Path(__file__).with_name('style.css'))


def chosen_days() -> dict[str, str]:
    """The days in the address, for a link to another page."""
    return {name: st.query_params[name] for name in ('from', 'to') if name in st.query_params}


def link(page: str, **parameters: object) -> str:
    """The address of a page; parameters that are None are left out."""
    given = {name.rstrip('_'): value for name, value in parameters.items() if value is not None}
    return f'{page}?{urlencode(given)}' if given else page


def head(words: str) -> None:
    """The name of a page, which may be the title of an article."""
    st.html(f'<h1>{text(words)}</h1>')


def subhead(words: str) -> None:
    """The name of a part of a page."""
    st.html(f'<h2>{text(words)}</h2>')


def title(words: str) -> Window:
    """The head of a page: its name, and the days to look at, which stand in the address.

    A page with nothing to show ends here.
    """
    head(words)
    reach = numbers.reach()
    if reach is None:
        st.info(f'Nothing is loaded yet: `{LOAD}`')
        st.stop()
    first = max(reach.start, reach.end - timedelta(days=DAYS - 1))
    start, end, shortcuts = st.columns([1, 1, 3], vertical_alignment='bottom')
    with start:
        chosen_start = _day('From', 'from', first)
    with end:
        chosen_end = _day('To', 'to', reach.end)
    with shortcuts:
        ranges = {
            '7 days': Window(max(reach.start, reach.end - timedelta(days=6)), reach.end),
            '31 days': Window(first, reach.end),
            'all': reach,
        }
        if chosen_start <= chosen_end:  # days that nobody has chosen are others tomorrow: their link says which they are
            ranges['link to these days'] = Window(chosen_start, chosen_end)
        st.html('<p class="kly-ranges">' + ' · '.join(_range(name, days) for name, days in ranges.items()) + '</p>')
    if chosen_end < chosen_start:
        st.error('The days end before they begin.')
        st.stop()
    return Window(chosen_start, chosen_end)


def tiles(values: Iterable[tuple[str, Any, Kind, Any]], place: str) -> None:
    """Large numbers, each with the way to its proof: label, value, kind, and the value of the days before."""
    st.html('<dl class="kly-tiles">' + ''.join(_tile(*each, place) for each in values) + '</dl>')


def table(
    name: str,
    columns: Sequence[Column],
    names: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    heading: str | None = None,
    remark: str = '',
    links: Sequence[tuple[str, str]] = (),
    totals: Mapping[str, Any] | None = None,
    proof: Callable[[Mapping[str, Any]], str | None] | None = None,
    whole_proof: str | None = None,
    whole: Callable[[], tuple[Sequence[str], Sequence[Sequence[Any]]]] | None = None,
    most: int = MOST,
    count: int | None = None,
) -> None:
    """A table with its download.

    Args:
        name: of the file, without its ending.
        columns: those that are shown, in their order.
        names: of the columns of the rows.
        rows: the values.
        heading: what it is, above it.
        remark: a sentence below the heading.
        links: behind the remark, as ``note`` takes them.
        totals: by name of column, below.
        proof: the way to the proof of a row's numbers, for columns that say no other.
        whole_proof: the way to that of the totals.
        whole: gives what the file holds where that is more than ``rows``.
        most: rows that are drawn.
        count: how many the file holds, where that is more than ``rows``.
    """
    if heading:
        subhead(heading)
    drawn, every = rows[:most], count or len(rows)
    if every > len(drawn):
        remark = f'{remark} The first {len(drawn):,} of {every:,} are shown; the file has all.'.strip()
    if remark:
        note(remark, *links)
    if not rows:
        note('Nothing here.')
        return
    head = ''.join(f'<th scope="col" class="{_side(c)}">{text(c.label)}</th>' for c in columns)
    if proof:
        columns = [replace(c, link=proof) if c.kind in _RIGHT and not c.link else c for c in columns]
    body = ''.join(_row(columns, dict(zip(names, row, strict=True))) for row in drawn)
    foot = ''
    if totals:
        shown = {c.name: _linked(_shown(c.kind, totals[c.name]), whole_proof) for c in columns if c.name in totals}
        cells = ''.join(f'<td class="{_side(c)}">{shown.get(c.name, "")}</td>' for c in columns)
        foot = f'<tfoot><tr>{cells}</tr></tfoot>'
    label = escape(heading or name.replace('_', ' '))
    st.html(
        f'<div class="kly-wide" tabindex="0" role="region" aria-label="{label}"><table><thead><tr>{head}</tr></thead>'
        f'<tbody>{body}</tbody>{foot}</table></div>'
    )
    st.download_button(
        f'CSV of {(heading or name).partition(":")[0].lower()}',
        lambda: _csv(*(whole() if whole else (names, rows))),
        f'{name}.csv',
        'text/csv',
        key=f'csv_{name}',
        on_click='ignore',
        icon=':material/download:',
    )


def note(words: str, *links: tuple[str, str]) -> None:
    """A remark, and links behind it: their words and addresses."""
    behind = ''.join(f' · <a target="_self" href="{escape(place)}">{text(name)}</a>' for name, place in links)
    st.html(f'<p class="kly-note">{text(words)}{behind}</p>')


def chosen(name: str) -> str:
    """What the address says under a name; empty if nothing."""
    return str(st.query_params.get(name, ''))


def choice(label: str, name: str, options: Mapping[str, str]) -> str:
    """One of some, which stands in the address; the first where nothing does."""
    names = list(options)
    given = chosen(name) if chosen(name) in options else names[0]
    found = st.selectbox(label, names, names.index(given), format_func=options.__getitem__, key=f'{name}_{given}')
    _keep(name, found, given)
    return found


def written(label: str, name: str) -> str:
    """A text, which stands in the address."""
    given = chosen(name)
    found = st.text_input(label, given, key=f'{name}_{given}', max_chars=200) or ''
    _keep(name, found, given)
    return found


def text(value: object) -> str:
    """A text of others as HTML that shows it as it is."""
    return escape(printable(str(value), LONGEST), quote=True)


def say_error(error: Exception) -> None:
    """Why a page cannot be shown, in one line."""
    st.html(f'<p class="kly-bad" role="alert">{text(error)}</p>')


def _day(label: str, name: str, default: date) -> date:
    """A day that stands in the address; what is written there by hand and is no day counts as none."""
    given = default
    if name in st.query_params:
        try:
            given = date.fromisoformat(st.query_params[name])
        except ValueError:
            st.query_params.pop(name)
    found = st.date_input(
        label,
        given,
        min_value=date(1900, 1, 1),
        max_value=date(2999, 12, 31),
        format='YYYY-MM-DD',
        key=f'day_{name}_{given}',
    )
    _keep(name, found.isoformat(), given.isoformat())
    return found


def _keep(name: str, found: str, given: str) -> None:
    """Put what was chosen into the address, and begin anew."""
    if found != given:
        st.query_params[name] = found
        st.rerun()


def _range(name: str, days: Window) -> str:
    kept = {key: value for key, value in st.query_params.items() if key not in ('from', 'to')}
    return f'<a target="_self" href="?{escape(urlencode(kept | {"from": days.start, "to": days.end}))}">{name}</a>'


def _tile(label: str, value: Any, kind: Kind, before: Any, place: str) -> str:
    change = ''
    if value is not None and before:
        percent = (Decimal(value) - Decimal(before)) * 100 / abs(Decimal(before))
        change = f'<dd class="kly-note">{percent:+.1f} % on the days before: {_shown(kind, before)}</dd>'
    return f'<div><dt>{text(label)}</dt><dd class="kly-large">{_linked(_shown(kind, value), place)}</dd>{change}</div>'


def _row(columns: Sequence[Column], row: Mapping[str, Any]) -> str:
    cells = []
    for n, column in enumerate(columns):
        inside = _shown(column.kind, row[column.name])
        inside = _linked(inside, column.link(row) if column.link and inside else None)
        tag = 'th scope="row"' if n == 0 and inside else 'td'
        cells.append(f'<{tag} class="{_side(column)}">{inside}</{tag[:2]}>')
    return f'<tr>{"".join(cells)}</tr>'


def _linked(inside: str, place: str | None) -> str:
    return f'<a target="_self" href="{escape(place)}">{inside}</a>' if place and inside else inside


def _side(column: Column) -> str:
    return 'kly-right' if column.kind in _RIGHT else 'kly-fixed' if column.kind in ('day', 'instant') else 'kly-text'


def _shown(kind: Kind, value: Any) -> str:
    if value is None:
        return ''
    if kind == 'money':
        return f'<span title="{cell(value)} USD">{escape(cents(Decimal(value)))}</span>'
    if kind == 'ratio':
        return f'<span title="{cell(value)}">{Decimal(value):,.4f}</span>'
    if kind == 'count':
        return f'{value:,}'
    if kind == 'number':
        return str(value)
    if kind == 'instant' and isinstance(value, datetime):
        return f'{value:%Y-%m-%d %H:%M} UTC'
    return text(value)


def _csv(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    found = io.StringIO()
    writer = csv.writer(found, lineterminator='\n')
    writer.writerow(names)
    writer.writerows([cell(value) for value in row] for row in rows)
    return found.getvalue().encode('utf-8')
