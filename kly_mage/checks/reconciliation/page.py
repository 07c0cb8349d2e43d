"""A reconciliation as one self-contained page: inline SVG, no script, no request to anywhere."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from kly_mage.checks.reconciliation.charts import WIDTH, caption, drawn_measures, figures
from kly_mage.checks.reconciliation.findings import verdict
from kly_mage.checks.reconciliation.model import Line, Report
from kly_mage.checks.reconciliation.table import ALWAYS, TITLES, most_telling, plain
from kly_mage.common.text import printable


@dataclass(frozen=True)
class Table:
    """A table of the page; the rows numbered in ``off`` stand out."""

    title: str
    header: list[str]
    rows: list[list[str]]
    off: set[int] = field(default_factory=set)


def page(report: Report) -> str:
    """The whole page. Foreign text in it is text: no markup, and nothing that turns a line around or is not seen."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # a tenth of a second that only this page takes
    from markupsafe import Markup

    def shown(value: Any) -> Any:
        return value if isinstance(value, Markup) or not isinstance(value, str) else printable(value)

    template = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template('page.html')
    findings = [
        (title, [finding for finding in report.findings if finding.wrong is wrong])
        for wrong, title in ((True, 'To be repaired'), (False, 'Good to know'))
    ]
    return template.render(
        title='Reconciliation: source files, bronze, gold',
        subtitle=f'{report.window or "all days"}; {", ".join(report.sources)}; files read'
        f' {report.checked_at:%Y-%m-%d %H:%M} UTC',
        verdict=verdict(report),
        mood='good' if report.is_good else 'bad',
        tiles=_tiles(report),
        equations=list(_equations(report)),
        figures=figures(report),
        width=WIDTH,
        findings=[(title, found) for title, found in findings if found],
        tables=list(_tables(report)),
    )


def _tiles(report: Report) -> list[tuple[str, str]]:
    """The large numbers and what they are."""
    told = [('rows read', f'{sum(line.rows.get("read", 0) for line in report.lines):,}')]
    for mart, measure in drawn_measures(report):
        amounts = (numbers[measure.name] for numbers in report.days.get(mart.name, {}).values())
        told.append((caption(mart, measure), plain(sum(amounts, Decimal(0)))))
    return told


def _equations(report: Report) -> Iterable[str]:
    """The money of the files, taken apart."""
    for line in (report.total(source) for source in report.sources):
        if line.money:
            parts = [f'{plain(line.money_in(place))} {TITLES[place]}' for place in _places(line) if place != 'read']
            yield (
                f'{line.source}: {plain(line.money_in("read"))} USD in the files = {" + ".join(parts)}; '
                f'gold holds {plain(line.money_in("gold"))}'
            )


def _places(line: Line) -> list[str]:
    return [place for place in TITLES if place != 'in_no_file' and (place in ALWAYS or line.rows.get(place))]


def _tables(report: Report) -> Iterable[Table]:
    """Rows and numbers by source, then each source by day."""
    totals = [report.total(source) for source in report.sources]
    shown = [place for place in TITLES if place in ALWAYS or any(line.rows.get(place) for line in totals)]
    names = [TITLES[place] for place in shown]
    rows = [[line.source, *(f'{line.rows.get(place, 0):,}' for place in shown)] for line in totals]
    yield Table('Rows', ['source', *names], rows)
    rows = [
        [name, *(plain(line.sum(name, place)) for place in (*shown, 'gold')), plain(line.gold_difference(name))]
        for line in totals
        for name in line.sums
    ]
    if rows:
        yield Table('Numbers', ['', *names, 'gold', 'difference'], rows)
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
        yield Table(f'{total.source} by day', header, cells, {n for n, line in enumerate(lines) if not line.adds_up})
