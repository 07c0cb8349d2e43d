"""Which sites and articles earn most: what the page shows of gold beside the account of its days."""

from kly_mage.checks.reconciliation.model import Report
from kly_mage.common.errors import NotBuiltError
from kly_mage.common.settings import Settings
from kly_mage.declared.marts import DAILY_SUMMARY, MARTS
from kly_mage.warehouse.choice import warehouse
from kly_mage.warehouse.gold import ARTICLE, Asked, Found

LINES = 10
_MONEY = next(measure.name for measure in DAILY_SUMMARY.measures if measure.unit == 'USD')


def best(settings: Settings, report: Report) -> list[tuple[str, Found]]:
    """The sites and the articles that earn most in the days of a report, each under a title.

    Nothing if the report leaves out a source that gold is made of, or gold is not built yet.
    """
    if not {mart.source for mart in MARTS if mart.name in DAILY_SUMMARY.marts} <= set(report.sources):
        return []
    wanted = (('Sites that earn most', DAILY_SUMMARY.grouped[0]), ('Articles that earn most', ARTICLE))
    try:
        found = [
            (title, warehouse(settings).look_up(DAILY_SUMMARY, Asked(report.window, by=by, sort=_MONEY, limit=LINES)))
            for title, by in wanted
        ]
    except NotBuiltError:
        return []
    return [(title, each) for title, each in found if each and each.rows]
