"""The reports that people export from Ad Manager's pages as CSV: what their columns are to ``gam_delivery``."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from kly_mage.declared import currency, recognised
from kly_mage.declared.gam_delivery import GAM_DELIVERY

if TYPE_CHECKING:
    from kly_mage.declared.mapping import Mapping

SOURCE = GAM_DELIVERY.name
TOTAL = 'Total'
"""What the last line of such a report begins with: it holds the sums of all rows."""

# In the English that Google documents, without the currency.
_WORDS = {
    'served_at': ('Date',),
    'ad_unit': ('Ad unit', 'Ad unit (all levels)', 'Ad unit (top level)'),
    'line_item': ('Line item',),
    'creative': ('Creative',),
    'site': ('Site', 'Domain'),
    'content_id': ('Key-values',),
    'impressions': ('Total impressions', 'Ad server impressions', 'Impressions'),
    'clicks': ('Total clicks', 'Ad server clicks', 'Clicks'),
    'revenue_usd': (
        'Total CPM, CPC, CPD, and vCPM revenue',
        'Total CPM and CPC revenue',
        'Total revenue',
        'Ad server CPM, CPC, CPD, and vCPM revenue',
        'Ad server CPM and CPC revenue',
        'Ad server revenue',
        'Revenue',
    ),
}
_NEEDED = {'served_at', 'ad_unit', 'impressions', 'revenue_usd'}


def is_report(header: Collection[str]) -> bool:
    """Whether these are the columns of such a report."""
    return _found(header).keys() >= _NEEDED


def mapping(header: Collection[str], own: Mapping | None) -> Mapping:
    """The mapping of a report with these columns; a declared column that the report lacks is not mapped.

    Amounts are in the currency that their column names, else in US dollars.

    Args:
        own: what somebody says of the file, which counts before that.
    """
    found = _found(header)
    options = {'content_id': {'key': 'content_id'}} | currency.option('revenue_usd', found.get('revenue_usd'))
    made = recognised.mapped(SOURCE, found, options, own)
    return made if made.total is not None else made.model_copy(update={'total': TOTAL})


def _found(header: Collection[str]) -> dict[str, str]:
    return recognised.origins(_WORDS, header, lambda name: currency.without(name).strip().lower())
