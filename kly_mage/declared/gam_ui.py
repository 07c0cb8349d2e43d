"""The reports that people export from Ad Manager's pages as CSV: what their columns are to ``gam_delivery``."""

from collections.abc import Collection

from kly_mage.declared import currency
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.declared.mapping import ColumnMapping, Mapping

SOURCE = GAM_DELIVERY.name
TOTAL = 'Total'
"""What the last line of such a report begins with: it holds the sums of all rows."""

# In the English that Google documents, without the currency; the first that a report has counts.
_COLUMNS: dict[str, tuple[str, ...]] = {
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
    columns = {}
    for name, origin in _found(header).items():
        more = {'key': 'content_id'} if name == 'content_id' else {}
        code = currency.named_in(origin) if name == 'revenue_usd' else None
        if code and code.isalpha() and code.isupper() and code != currency.DOLLARS:
            more = {'currency': code}
        columns[name] = ColumnMapping.model_validate({'from': origin} | more)
    own = own or Mapping(source=SOURCE)
    total = TOTAL if own.total is None else own.total
    return own.model_copy(update={'columns': columns | own.columns, 'total': total})


def _found(header: Collection[str]) -> dict[str, str]:
    """Which column of the report each declared one is."""
    there = {currency.without(name).strip().lower(): name for name in header}
    found = {name: next((there[w.lower()] for w in words if w.lower() in there), None) for name, words in _COLUMNS.items()}
    return {name: origin for name, origin in found.items() if origin is not None}
