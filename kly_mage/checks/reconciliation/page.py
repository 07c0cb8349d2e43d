"""A reconciliation as one self-contained page: inline SVG, no script, no request to anywhere."""

import html
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from string import Template

from kly_mage.checks.reconciliation.findings import dollars, verdict
from kly_mage.checks.reconciliation.model import Line, Report
from kly_mage.checks.reconciliation.table import ALWAYS, TITLES, most_telling, plain
from kly_mage.common.text import printable

WIDTH, HEIGHT = 480, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 8, 10, 26
_WAITING = ('duplicate', 'conflict', 'rejected', 'not_loaded', 'outside', 'lost', 'changed', 'in_no_file')


def page(report: Report) -> str:
    """The whole page."""
    days = f'{report.window}' if report.window else 'all days'
    template = Template(Path(__file__).with_name('page.html').read_text('utf-8'))
    return template.substitute(
        title='Reconciliation: source files, bronze, gold',
        subtitle=_text(f'{days}; {", ".join(report.sources)}; files read {report.checked_at:%Y-%m-%d %H:%M} UTC'),
        verdict=_text(verdict(report)),
        mood='good' if report.accounted else 'bad',
        tiles=_tiles(report),
        equation=_equation(report),
        charts=_charts(report),
        findings=_findings(report),
        tables=_tables(report),
    )


def _text(text: str) -> str:
    """Foreign text as text: no markup, and nothing in it that turns a line around or is not seen."""
    return html.escape(printable(text))


def _tiles(report: Report) -> str:
    names = ('pageviews', 'sessions', 'revenue_usd')
    gold = {name: sum((day[name] for day in report.days.values()), Decimal(0)) for name in names}
    told = [('rows read', f'{sum(line.rows.get("read", 0) for line in report.lines):,}')]
    if 'ga4_events' in report.sources:
        told += [('pageviews', f'{int(gold["pageviews"]):,}'), ('sessions by article', f'{int(gold["sessions"]):,}')]
    if 'gam_delivery' in report.sources:
        told += [('revenue in gold, USD', plain(gold['revenue_usd']))]
    cells = ''.join(f'<div class="tile"><b>{_text(number)}</b>{_text(name)}</div>' for name, number in told)
    return f'<div class="tiles">{cells}</div>'


def _equation(report: Report) -> str:
    """The money of the files, taken apart."""
    found = [report.total(source) for source in report.sources if report.total(source).money]
    lines = []
    for line in found:
        parts = [f'{plain(line.money_in(place))} {TITLES[place]}' for place in _places(line) if place != 'read']
        lines.append(
            f'<p class="soft">{_text(line.source)}: {plain(line.money_in("read"))} USD in the files = '
            f'{_text(" + ".join(parts))}; gold holds {plain(line.money_in("gold"))}</p>'
        )
    return ''.join(lines)


def _places(line: Line) -> list[str]:
    return [place for place in TITLES if place != 'in_no_file' and (place in ALWAYS or line.rows.get(place))]


# --- charts -----------------------------------------------------------------------------------------------------------


def _charts(report: Report) -> str:
    drawn = []
    if report.days:
        span = _span(report.days)
        for title, name in (
            ('Pageviews by day', 'pageviews'),
            ('Sessions by day', 'sessions'),
            ('Revenue by day, USD', 'revenue_usd'),
        ):
            drawn.append(_bars_by_day(title, [(day, report.days.get(day, {}).get(name)) for day in span]))
        drawn.append(_curve('Page RPM by day, USD per 1,000 pageviews', [(day, _rpm(report, day)) for day in span]))
    late = {source: report.total(source).late for source in report.sources}
    if any(late.values()):
        drawn.append(_late(late))
    drawn += [_money(report.total(source)) for source in report.sources if report.total(source).money]
    return f'<h2>In gold</h2><div class="charts">{"".join(drawn)}</div>' if drawn else ''


def _span(days: Iterable[date]) -> list[date]:
    known = sorted(days)
    return [known[0] + timedelta(days=n) for n in range((known[-1] - known[0]).days + 1)]


def _rpm(report: Report, day: date) -> Decimal | None:
    of_day = report.days.get(day)
    if not of_day or not of_day['pageviews']:
        return None
    return of_day['revenue_usd'] * 1000 / of_day['pageviews']


def _bars_by_day(title: str, values: Sequence[tuple[date, Decimal | None]]) -> str:
    scale, axis = _axis([value for _, value in values if value is not None])
    step = (WIDTH - _LEFT - _RIGHT) / len(values)
    bars = []
    for n, (day, value) in enumerate(values):
        if value is None:
            continue
        top, zero = sorted((scale(value), scale(Decimal(0))))
        bars.append(
            f'<rect class="bar" x="{_LEFT + n * step + step * 0.1:.1f}" y="{top:.1f}" width="{step * 0.8:.1f}"'
            f' height="{max(zero - top, 0.5 if value else 0):.1f}"><title>{day}: {plain(value)}</title></rect>'
        )
    return _figure(title, axis + _day_names([day for day, _ in values], step) + ''.join(bars))


def _curve(title: str, values: Sequence[tuple[date, Decimal | None]]) -> str:
    scale, axis = _axis([value for _, value in values if value is not None])
    step = (WIDTH - _LEFT - _RIGHT) / len(values)
    runs: list[list[str]] = [[]]
    dots = []
    for n, (day, value) in enumerate(values):
        if value is None:
            runs.append([])  # a day without pageviews is a gap, not a zero
            continue
        x, y = _LEFT + (n + 0.5) * step, scale(value)
        runs[-1].append(f'{x:.1f},{y:.1f}')
        dots.append(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="2.5"><title>{day}: {value:,.2f}</title></circle>')
    curves = ''.join(f'<polyline class="curve" points="{" ".join(run)}"/>' for run in runs if len(run) > 1)
    return _figure(title, axis + _day_names([day for day, _ in values], step) + curves + ''.join(dots))


def _late(late: dict[str, dict[int, int]]) -> str:
    shown = [source for source in late if late[source]]
    lags = range(1, max(lag for source in shown for lag in late[source]) + 1)
    scale, axis = _axis([Decimal(count) for source in shown for count in late[source].values()])
    step = (WIDTH - _LEFT - _RIGHT) / len(lags)
    width = step * 0.8 / len(shown)
    marks = []
    for n, lag in enumerate(lags):
        middle = _LEFT + (n + 0.5) * step
        if len(lags) <= 14 or lag % 7 == 0:
            words = f'{lag} day{"" if lag == 1 else "s"}' if len(lags) <= 5 else f'{lag}'
            marks.append(f'<text x="{middle:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{words}</text>')
        for m, source in enumerate(shown):
            count = late[source].get(lag, 0)
            y = scale(Decimal(count))
            kind = 'bar' if m % 2 == 0 else 'bar second'
            marks.append(
                f'<rect class="{kind}" x="{_LEFT + n * step + step * 0.1 + m * width:.1f}" y="{y:.1f}" width="{width:.1f}"'
                f' height="{HEIGHT - _BOTTOM - y:.1f}"><title>{_text(source)}, {lag} days late: {count:,}</title></rect>'
            )
    for m, source in enumerate(shown):
        kind = 'bar' if m % 2 == 0 else 'bar second'
        y = _TOP + 4 + m * 18
        marks.append(f'<rect class="{kind}" x="{WIDTH - 130}" y="{y}" width="11" height="11"/>')
        marks.append(f'<text class="name" x="{WIDTH - 113}" y="{y + 10}">{_text(source)}</text>')
    return _figure('Late arrivals: distinct rows by days from their own day to their file', axis + ''.join(marks))


def _money(line: Line) -> str:
    """Where revenue of the files waits, or repeats, beside what is in gold."""
    amounts = [(TITLES[place], line.money_in(place)) for place in _WAITING]
    amounts = [(name, amount) for name, amount in amounts if amount or name in ('duplicate', 'conflicting', 'rejected')]
    largest = max((abs(amount) for _, amount in amounts), default=Decimal(0)) or Decimal(1)
    marks, height = [], 30 * len(amounts) + 12
    for n, (name, amount) in enumerate(amounts):
        y, width = 6 + 30 * n, float(abs(amount) / largest) * (WIDTH - 260)
        marks.append(
            f'<text class="name" x="0" y="{y + 16}">{_text(name)}</text>'
            f'<rect class="bar second" x="104" y="{y + 3}" width="{max(width, 1):.1f}" height="18"/>'
            f'<text x="{112 + max(width, 1):.1f}" y="{y + 17}">{_text(dollars(amount))}</text>'
        )
    title = f'Where revenue of the files is, beside the {dollars(line.money_in("bronze"))} that count'
    return _figure(title, ''.join(marks), height)


def _axis(values: Sequence[Decimal]) -> tuple['_Scale', str]:
    """A scale from 0 (or below) to a round number, and its grid lines."""
    high, low = max([*values, Decimal(0)]), min([*values, Decimal(0)])
    step = _round_step((high - low) / 4 or Decimal('0.25'))
    top = (high / step).to_integral_value(ROUND_CEILING) * step or step
    bottom = -((-low / step).to_integral_value(ROUND_CEILING) * step)
    scale, lines, tick = _Scale(bottom, top), [], bottom
    while tick <= top:
        y = scale(tick)
        lines.append(
            f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{plain(tick)}</text>'
        )
        tick += step
    return scale, ''.join(lines)


class _Scale:
    """From a value to its height on the page."""

    def __init__(self, bottom: Decimal, top: Decimal) -> None:
        self.bottom, self.top = bottom, top

    def __call__(self, value: Decimal) -> float:
        return HEIGHT - _BOTTOM - float((value - self.bottom) / (self.top - self.bottom)) * (HEIGHT - _TOP - _BOTTOM)


def _round_step(least: Decimal) -> Decimal:
    """The next of 1, 2, 2.5, 5 times a power of ten."""
    power = Decimal(10) ** least.adjusted()
    return next(power * factor for factor in map(Decimal, ('1', '2', '2.5', '5', '10')) if power * factor >= least)


def _day_names(days: Sequence[date], step: float) -> str:
    every = -(-len(days) // 6)
    marks = []
    for n in range(0, len(days), every):
        x = _LEFT + (n + 0.5) * step
        at_end = x > WIDTH - _RIGHT - 20  # half a name would not fit
        x, anchor = (WIDTH - _RIGHT, 'end') if at_end else (x, 'middle')
        marks.append(f'<text x="{x:.1f}" y="{HEIGHT - 8}" text-anchor="{anchor}">{days[n]:%d %b}</text>')
    return ''.join(marks)


def _figure(title: str, marks: str, height: int = HEIGHT) -> str:
    return (
        f'<figure><figcaption>{_text(title)}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{_text(title)}">{marks}</svg></figure>'
    )


# --- words and tables -------------------------------------------------------------------------------------------------


def _findings(report: Report) -> str:
    parts = []
    for wrong, title in ((True, 'To be repaired'), (False, 'Good to know')):
        found = [finding for finding in report.findings if finding.wrong is wrong]
        items = ''.join(
            f'<li>{_text(finding.text)}{f"<code>{_text(finding.command)}</code>" if finding.command else ""}</li>'
            for finding in found
        )
        parts.append(f'<h2>{title}</h2><ul>{items}</ul>' if found else '')
    return ''.join(parts)


def _tables(report: Report) -> str:
    totals = [report.total(source) for source in report.sources]
    shown = [place for place in TITLES if place in ALWAYS or any(line.rows.get(place) for line in totals)]
    names = [TITLES[place] for place in shown]
    rows = [[line.source, *(f'{line.rows.get(place, 0):,}' for place in shown)] for line in totals]
    parts = ['<h2>Rows</h2>', _table(['source', *names], rows)]
    rows = [
        [name, *(plain(line.sum(name, place)) for place in (*shown, 'gold')), plain(line.gold_difference(name))]
        for line in totals
        for name in line.sums
    ]
    if rows:
        parts += ['<h2>Numbers</h2>', _table(['', *names, 'gold', 'difference'], rows)]
    for total in totals:
        lines = report.lines_of(total.source)
        measure = most_telling(total.source)
        if measure is None:  # articles may be of any day: by day they say little
            lines = [line for line in lines if not line.adds_up]
        if not lines:
            continue
        header = ['day', *names] + ([f'{measure} in files', 'gold', 'difference'] if measure else [])
        cells = []
        for line in lines:
            amounts = (
                [line.sum(measure, 'read'), line.sum(measure, 'gold'), line.gold_difference(measure)] if measure else []
            )
            counts = (f'{line.rows.get(place, 0):,}' for place in shown)
            cells.append([str(line.day or 'no day'), *counts, *map(plain, amounts)])
        off = {n for n, line in enumerate(lines) if not line.adds_up}
        parts += [f'<h2>{_text(total.source)} by day</h2>', _table(header, cells, off)]
    return ''.join(parts)


def _table(header: list[str], rows: list[list[str]], off: Iterable[int] = ()) -> str:
    head = ''.join(f'<th>{_text(name)}</th>' for name in header)
    marked = set(off)
    body = ''.join(
        f'<tr{" class=off" if n in marked else ""}>' + ''.join(f'<td>{_text(cell)}</td>' for cell in row) + '</tr>'
        for n, row in enumerate(rows)
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
