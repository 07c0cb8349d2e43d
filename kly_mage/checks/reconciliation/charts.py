"""The drawings of the reconciliation page as data: which marks stand where. ``page.html`` makes SVG of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_CEILING, Decimal

from kly_mage.checks.reconciliation.model import Line, Report
from kly_mage.checks.reconciliation.table import TITLES, plain
from kly_mage.common.tables import cents
from kly_mage.common.text import counted
from kly_mage.declared.marts import DAILY_SUMMARY, MARTS, Mart, Measure, Ratio

WIDTH, HEIGHT = 480, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 8, 10, 26
_WAITING = ('duplicate', 'conflict', 'rejected', 'not_loaded', 'outside', 'forgotten', 'lost', 'changed', 'in_no_file')


@dataclass(frozen=True)
class Mark:
    """One element of SVG.

    Attributes:
        tag: its name.
        at: its attributes.
        text: what stands in it.
        hint: what is shown when one points at it.
    """

    tag: str
    at: dict[str, str]
    text: str = ''
    hint: str = ''


@dataclass(frozen=True)
class Figure:
    """One drawing with its title; lengths are in units of ``WIDTH``."""

    title: str
    marks: list[Mark] = field(default_factory=list)
    height: int = HEIGHT


def figures(report: Report) -> list[Figure]:
    """What gold shows by day, what came late, and where the money of the files is."""
    drawn = []
    if span := _span(day for days in report.days.values() for day in days):
        for mart, measure in drawn_measures(report):
            of_mart = report.days.get(mart.name, {})
            # A day that another mart has is 0 in this one.
            amounts = [
                (day, of_mart.get(day, {}).get(measure.name, Decimal(0)) if _has(report, day) else None) for day in span
            ]
            drawn.append(_bars_by_day(f'{words_of(measure.name)} by day{_unit(measure)}', amounts))
        for ratio in DAILY_SUMMARY.ratios:
            if ratio.name in DAILY_SUMMARY.drawn:
                title = f'{words_of(ratio.name)} by day{_unit(ratio)} per {ratio.times:,} {ratio.per}'
                drawn.append(_curve(title, [(day, _quotient(report, ratio, day)) for day in span]))
    late = {source: report.total(source).late for source in report.sources}
    if any(late.values()):
        drawn.append(_late(late))
    return drawn + [_money(report.total(source)) for source in report.sources if report.total(source).money]


def drawn_measures(report: Report) -> list[tuple[Mart, Measure]]:
    """The measures to show: of the marts that ``DAILY_SUMMARY`` joins, those it names; of any other, all."""
    return [
        (mart, measure)
        for mart in MARTS
        if mart.source in report.sources
        for measure in mart.measures
        if mart.name not in DAILY_SUMMARY.marts or measure.name in DAILY_SUMMARY.drawn
    ]


def caption(mart: Mart, measure: Measure) -> str:
    """What the sum of a measure over a mart is."""
    words = words_of(measure.name).lower()
    if not measure.adds_up:  # what two keys share counts in both
        return f'{words} by {" and ".join(key.name.removesuffix("_id") for key in mart.by)}'
    return f'{words} in gold, USD' if measure.unit == 'USD' else words


def words_of(name: str) -> str:
    """A number's name in words, its unit left to those who show it: ``page_rpm_usd`` is the Page RPM."""
    words = name.removesuffix('_usd').split('_')
    return ' '.join(('RPM' if word == 'rpm' else word) for word in (words[0].capitalize(), *words[1:]))


def _unit(number: Measure | Ratio) -> str:
    return f', {number.unit}' if number.unit == 'USD' else ''


def _span(days: Iterable[date]) -> list[date]:
    known = sorted(set(days))
    return [known[0] + timedelta(days=n) for n in range((known[-1] - known[0]).days + 1)] if known else []


def _has(report: Report, day: date) -> bool:
    return any(day in days for days in report.days.values())


def _quotient(report: Report, ratio: Ratio, day: date) -> Decimal | None:
    """The ratio over a whole day; None without a divisor."""
    of_day: dict[str, Decimal] = {}
    for name in DAILY_SUMMARY.marts:
        of_day |= report.days.get(name, {}).get(day, {})
    return of_day.get(ratio.of, Decimal(0)) * ratio.times / of_day[ratio.per] if of_day.get(ratio.per) else None


def _bars_by_day(title: str, values: Sequence[tuple[date, Decimal | None]]) -> Figure:
    scale, axis = _axis([value for _, value in values if value is not None])
    step = (WIDTH - _LEFT - _RIGHT) / len(values)
    bars = []
    for n, (day, value) in enumerate(values):
        if value is None:
            continue
        top, zero = sorted((scale(value), scale(Decimal(0))))
        height = max(zero - top, 0.5 if value else 0)
        bars.append(_bar('bar', _LEFT + n * step + step * 0.1, top, step * 0.8, height, f'{day}: {plain(value)}'))
    return Figure(title, [*axis, *_day_names([day for day, _ in values], step), *bars])


def _curve(title: str, values: Sequence[tuple[date, Decimal | None]]) -> Figure:
    scale, axis = _axis([value for _, value in values if value is not None])
    step = (WIDTH - _LEFT - _RIGHT) / len(values)
    runs: list[list[str]] = [[]]
    dots = []
    for n, (day, value) in enumerate(values):
        if value is None:
            runs.append([])  # a day without pageviews is a gap, not a zero
            continue
        x, y = f'{_LEFT + (n + 0.5) * step:.1f}', f'{scale(value):.1f}'
        runs[-1].append(f'{x},{y}')
        dots.append(Mark('circle', {'class': 'dot', 'cx': x, 'cy': y, 'r': '2.5'}, hint=f'{day}: {value:,.2f}'))
    curves = [Mark('polyline', {'class': 'curve', 'points': ' '.join(run)}) for run in runs if len(run) > 1]
    return Figure(title, [*axis, *_day_names([day for day, _ in values], step), *curves, *dots])


def _late(late: dict[str, dict[int, int]]) -> Figure:
    shown = [source for source in late if late[source]]
    lags = range(1, max(lag for source in shown for lag in late[source]) + 1)
    scale, marks = _axis([Decimal(count) for source in shown for count in late[source].values()])
    step = (WIDTH - _LEFT - _RIGHT) / len(lags)
    width = step * 0.8 / len(shown)
    for n, lag in enumerate(lags):
        if len(lags) <= 14 or lag % 7 == 0:
            words = counted(lag, 'day') if len(lags) <= 5 else f'{lag}'
            marks.append(_words(words, _LEFT + (n + 0.5) * step, HEIGHT - 8, anchor='middle'))
        for m, source in enumerate(shown):
            count = late[source].get(lag, 0)
            x, y = _LEFT + n * step + step * 0.1 + m * width, scale(Decimal(count))
            hint = f'{source}, {counted(lag, "day")} late: {count:,}'
            marks.append(_bar(_kind(m), x, y, width, HEIGHT - _BOTTOM - y, hint))
    for m, source in enumerate(shown):
        y = _TOP + 4 + m * 18
        marks.append(_bar(_kind(m), WIDTH - 130, y, 11, 11))
        marks.append(_words(source, WIDTH - 113, y + 10, kind='name'))
    return Figure('Late arrivals: distinct rows by days from their own day to their file', marks)


def _money(line: Line) -> Figure:
    """Where revenue of the files waits, or repeats, beside what is in gold."""
    amounts = [(TITLES[place], line.money_in(place)) for place in _WAITING]
    amounts = [(name, amount) for name, amount in amounts if amount or name in ('duplicate', 'conflicting', 'rejected')]
    largest = max((abs(amount) for _, amount in amounts), default=Decimal(0)) or Decimal(1)
    marks = []
    for n, (name, amount) in enumerate(amounts):
        y, width = 6 + 30 * n, max(float(abs(amount) / largest) * (WIDTH - 260), 1)
        marks += [
            _words(name, 0, y + 16, kind='name'),
            _bar('bar second', 104, y + 3, width, 18, f'{name}: {plain(amount)} USD'),
            _words(f'{cents(amount)} USD', 112 + width, y + 17),
        ]
    title = f'Where revenue of the files is, beside the {cents(line.money_in("bronze"))} USD that count'
    return Figure(title, marks, 30 * len(amounts) + 12)


def _kind(number: int) -> str:
    return 'bar' if number % 2 == 0 else 'bar second'


def _bar(kind: str, x: float, y: float, width: float, height: float, hint: str = '') -> Mark:
    at = {'x': f'{x:.1f}', 'y': f'{y:.1f}', 'width': f'{width:.1f}', 'height': f'{height:.1f}'}
    return Mark('rect', {'class': kind, **at}, hint=hint)


def _words(text: str, x: float, y: float, *, kind: str = '', anchor: str = '') -> Mark:
    more = {'class': kind, 'text-anchor': anchor}
    return Mark('text', {'x': f'{x:.1f}', 'y': f'{y:.1f}', **{name: value for name, value in more.items() if value}}, text)


def _axis(values: Sequence[Decimal]) -> tuple['_Scale', list[Mark]]:
    """A scale from 0 (or below) to a round number, and its grid lines."""
    high, low = max([*values, Decimal(0)]), min([*values, Decimal(0)])
    step = _round_step((high - low) / 4 or Decimal('0.25'))
    top = (high / step).to_integral_value(ROUND_CEILING) * step or step
    bottom = -((-low / step).to_integral_value(ROUND_CEILING) * step)
    scale, marks, tick = _Scale(bottom, top), list[Mark](), bottom
    while tick <= top:
        y = scale(tick)
        ends = {'x1': str(_LEFT), 'x2': str(WIDTH - _RIGHT), 'y1': f'{y:.1f}', 'y2': f'{y:.1f}'}
        marks += [Mark('line', {'class': 'grid', **ends}), _words(plain(tick), _LEFT - 6, y + 4, anchor='end')]
        tick += step
    return scale, marks


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


def _day_names(days: Sequence[date], step: float) -> list[Mark]:
    marks = []
    for n in range(0, len(days), -(-len(days) // 6)):
        x = _LEFT + (n + 0.5) * step
        at_end = x > WIDTH - _RIGHT - 20  # half a name would not fit
        x, anchor = (WIDTH - _RIGHT, 'end') if at_end else (x, 'middle')
        marks.append(_words(f'{days[n]:%d %b}', x, HEIGHT - 8, anchor=anchor))
    return marks
