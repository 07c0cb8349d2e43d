"""A reconciliation as one self-contained page: inline SVG, no script, no request to anywhere."""

import base64
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from kly_mage.checks.reconciliation.charts import WIDTH, caption, drawn_measures, figures
from kly_mage.checks.reconciliation.findings import verdict
from kly_mage.checks.reconciliation.grids import Cell, grids, money, places_of
from kly_mage.checks.reconciliation.legend import legend
from kly_mage.checks.reconciliation.model import Report
from kly_mage.checks.reconciliation.table import TITLES, as_csv, plain
from kly_mage.common.tables import cents
from kly_mage.common.text import printable
from kly_mage.common.words import words
from kly_mage.warehouse.gold import Found

_AMOUNT = re.compile(r'-?\d[\d,]*\.\d{3,}(?= USD)')


def page(report: Report, best: Sequence[tuple[str, Found]] = (), *, every_day: bool = False) -> str:
    """The whole page. Foreign text in it is text: no markup, and nothing that turns a line around or is not seen.

    Args:
        report: what was found.
        best: what earns most in gold, each table under its title (``best.best``).
        every_day: every number of every day of every source, as ``--days`` asks for.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # a tenth of a second that only this page takes
    from markupsafe import Markup, escape

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
        verdict=Cell(verdict(report, lambda amount: f'{cents(amount)} USD'), verdict(report)),
        mood='good' if report.is_good else 'look' if report.accounted else 'bad',
        tiles=_tiles(report),
        equations=list(_equations(report)),
        figures=figures(report),
        width=WIDTH,
        findings=[(title, found) for title, found in findings if found],
        to_cents=lambda text: Markup(_AMOUNT.sub(_to_cents, str(escape(printable(text))))),  # noqa: S704 -- escaped
        tables=list(grids(report, best, every_day=every_day)),
        legend=legend(places_of(report)),
        words=words(),
        exact=base64.b64encode(as_csv(report).encode()).decode('ascii'),
    )


def _to_cents(amount: re.Match[str]) -> str:
    """An amount in a sentence, as those of the tables are: to the cent, with all its digits behind it."""
    exact = amount[0].replace(',', '')
    return f'<span title="{exact}">{cents(Decimal(exact))}</span>'


def _tiles(report: Report) -> list[tuple[str, Cell]]:
    """The large numbers and what they are."""
    told = [('rows read', Cell(f'{sum(line.rows.get("read", 0) for line in report.lines):,}'))]
    for mart, measure in drawn_measures(report):
        amounts = (numbers[measure.name] for numbers in report.days.get(mart.name, {}).values())
        told.append((caption(mart, measure), money(measure.name, sum(amounts, Decimal(0)))))
    return told


def _equations(report: Report) -> Iterable[Cell]:
    """The money of the files, taken apart."""
    for line in (report.total(source) for source in report.sources):
        if line.money:
            places = [place for place in places_of(report) if place != 'in_no_file']
            amounts = {place: line.money_in(place) for place in (*places, 'gold')}
            yield Cell(*(_equation(line.source, amounts, told) for told in (cents, plain)))


def _equation(source: str, amounts: dict[str, Decimal], told: Any) -> str:
    parts = [f'{told(amount)} {TITLES[place]}' for place, amount in amounts.items() if place not in ('read', 'gold')]
    return f'{source}: {told(amounts["read"])} USD in the files = {" + ".join(parts)}; gold holds {told(amounts["gold"])}'
