"""``python -m bench.pictures``: the tables of RESULTS.md and docs/performance.md as pictures beside the latter.

What is drawn is what stands there in figures, so the two cannot tell different things.
"""

import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from xml.etree import ElementTree

_DOCS = Path(__file__).parents[1] / 'docs'
_RESULTS = Path(__file__).with_name('RESULTS.md')
_WIDTH, _LEFT, _RIGHT, _TOP = 720, 130, 30, 46
_COLOURS = ('#1f6f8b', '#d1495b', '#8f8f8f', '#edae49', '#66a182', '#5d4e8c')
_STEPS = ('first', 'again', 'late')
Table = list[dict[str, str]]


def main() -> None:
    """Draw all pictures there are tables for."""
    results, told = _RESULTS.read_text('utf-8'), (_DOCS / 'performance.md').read_text('utf-8')
    jobs = {name: (int(rows.replace(',', '')), table) for name, rows, table in _jobs(results)}
    beside = _beside(jobs['month'][1])
    drawn = {'beside': beside, 'rows': _rows(jobs.values())}
    if history := next(_tables(told, '| around day |'), None):
        drawn['history'] = _history(history)
    for name, picture in drawn.items():
        path = _DOCS / f'performance-{name}.svg'
        ElementTree.indent(picture)
        path.write_text(ElementTree.tostring(picture, encoding='unicode') + '\n', 'utf-8')
        sys.stdout.write(f'{path}\n')


def _beside(table: Table) -> ElementTree.Element:
    """Each contestant's seconds to those of plain SQL: to the left faster, to the right slower, each line twice as much."""
    names = [name for name in dict.fromkeys(row['contestant'] for row in table) if name != 'plain_sql']
    picture, height = _empty(
        'A month of a million events: seconds to those of plain SQL in the same run', 62 * len(names) + 40
    )
    x = _scale(-4, 3, _LEFT, _WIDTH - _RIGHT)
    for power in range(-4, 4):
        _line(picture, x(power), _TOP, x(power), height - 22, strong=power == 0)
        _text(picture, x(power), height - 6, f'{2**power:g}', 'middle')
    for n, name in enumerate(names):
        y = _TOP + 10 + 62 * n
        _text(picture, 8, y + 28, name)
        for m, step in enumerate(_STEPS):
            for row in table:
                if (row['contestant'], row['step']) == (name, step):
                    ratio = float(row['ratio'])
                    a, b = sorted((x(0), x(math.log2(ratio))))
                    _bar(picture, a, y + 16 * m, b - a, 13, _COLOURS[m])
                    _text(picture, b + 4 if ratio > 1 else a - 4, y + 11 + 16 * m, row['ratio'], '' if ratio > 1 else 'end')
    _legend(picture, _STEPS)
    return picture


def _rows(jobs: Iterable[tuple[int, Table]]) -> ElementTree.Element:
    """CPU seconds of a first load by rows, for each contestant that took part in loads of several sizes."""
    found: dict[str, dict[float, float]] = {}
    for rows, table in jobs:
        for row in table:
            if row['step'] == 'first':
                found.setdefault(row['contestant'], {}).setdefault(rows / 1e6, float(row['CPU s']))
    curves = {name: sorted(points.items()) for name, points in found.items() if len(points) > 1}
    return _curves('CPU seconds of a first load by millions of events', curves, 'seconds', 'million events')


def _history(table: Table) -> ElementTree.Element:
    curves = {
        title: [(float(row['around day'].replace(',', '')), float(row[column])) for row in table]
        for title, column in (('CPU s', 'CPU s'), ('daily_summary', 'of these `daily_summary`'))
    }
    return _curves(
        'CPU seconds of a day of a thousand events, and what the view takes, by the days loaded before it',
        curves,
        'seconds',
        'days',
    )


def _curves(title: str, curves: dict[str, list[tuple[float, float]]], up: str, along: str) -> ElementTree.Element:
    picture, height = _empty(title, 300)
    most = [max(point[axis] for points in curves.values() for point in points) for axis in (0, 1)]
    x, y = _scale(0, most[0] * 1.08, 60, _WIDTH - _RIGHT), _scale(0, most[1] * 1.15, height - 40, _TOP + 6)
    for part in range(5):
        value = most[1] * part / 4
        _line(picture, 60, y(value), _WIDTH - _RIGHT, y(value))
        _text(picture, 54, y(value) + 4, f'{value:.2g}', 'end')
    for value in sorted({point[0] for points in curves.values() for point in points}):
        _text(picture, x(value), height - 22, f'{value:,g}', 'middle')
    _text(picture, _WIDTH - _RIGHT, height - 6, along, 'end')
    _text(picture, 8, _TOP - 2, up)
    for colour, points in zip(_COLOURS, curves.values(), strict=False):
        way = ' '.join(f'{x(a):.1f},{y(b):.1f}' for a, b in points)
        ElementTree.SubElement(picture, 'polyline', {'points': way, 'fill': 'none', 'stroke': colour, 'stroke-width': '2'})
        for a, b in points:
            ElementTree.SubElement(picture, 'circle', {'cx': f'{x(a):.1f}', 'cy': f'{y(b):.1f}', 'r': '3', 'fill': colour})
            _text(picture, x(a) + 2, y(b) - 7, f'{b:.2f}')
    _legend(picture, curves)
    return picture


# --- marks --------------------------------------------------------------------------------------------------------------


def _empty(title: str, height: int) -> tuple[ElementTree.Element, int]:
    height += _TOP
    shape = {'xmlns': 'http://www.w3.org/2000/svg', 'viewBox': f'0 0 {_WIDTH} {height}', 'role': 'img', 'aria-label': title}
    picture = ElementTree.Element('svg', {**shape, 'font-family': 'sans-serif', 'font-size': '12'})
    _bar(picture, 0, 0, _WIDTH, height, '#ffffff')
    _text(picture, 8, 18, title).set('font-weight', 'bold')
    return picture, height


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _legend(picture: ElementTree.Element, names: Iterable[str]) -> None:
    for n, (name, colour) in enumerate(zip(names, _COLOURS, strict=False)):
        _bar(picture, _LEFT + 120 * n, 26, 11, 11, colour)
        _text(picture, _LEFT + 120 * n + 16, 36, name)


def _bar(picture: ElementTree.Element, x: float, y: float, width: float, height: float, colour: str) -> None:
    at = {'x': f'{x:.1f}', 'y': f'{y:.1f}', 'width': f'{width:.1f}', 'height': f'{height:.1f}', 'fill': colour}
    ElementTree.SubElement(picture, 'rect', at)


def _line(picture: ElementTree.Element, x1: float, y1: float, x2: float, y2: float, *, strong: bool = False) -> None:
    ends = {name: f'{value:.1f}' for name, value in (('x1', x1), ('y1', y1), ('x2', x2), ('y2', y2))}
    ElementTree.SubElement(picture, 'line', {**ends, 'stroke': '#333333' if strong else '#dddddd'})


def _text(picture: ElementTree.Element, x: float, y: float, text: str, anchor: str = '') -> ElementTree.Element:
    at = {'x': f'{x:.1f}', 'y': f'{y:.1f}', 'fill': '#222222', **({'text-anchor': anchor} if anchor else {})}
    mark = ElementTree.SubElement(picture, 'text', at)
    mark.text = text
    return mark


# --- tables -------------------------------------------------------------------------------------------------------------


def _jobs(text: str) -> Iterable[tuple[str, str, Table]]:
    """Name, rows and table of each job with contestants."""
    for section in re.split(r'^## ', text, flags=re.MULTILINE)[1:]:
        heading = re.match(r'(\w+): ([\d,]+) events', section)
        if heading and (table := next(_tables(section, '| contestant |'), None)):
            yield heading[1], heading[2], table


def _tables(text: str, begins: str) -> Iterator[Table]:
    """Every table whose head begins so."""
    lines = text.splitlines()
    for n, line in enumerate(lines):
        if line.startswith(begins):
            head, table = _cells(line), list[dict[str, str]]()
            for row in lines[n + 2 :]:
                if not row.startswith('|'):
                    break
                table.append(dict(zip(head, _cells(row), strict=False)))
            yield table


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip('|').split('|')]


if __name__ == '__main__':
    main()
