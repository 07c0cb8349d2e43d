"""The reports of Ad Manager's API and of its schedules (``CSV_DUMP``): what their columns are to ``gam_delivery``."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from kly_mage.declared import recognised
from kly_mage.declared.gam_delivery import GAM_DELIVERY

if TYPE_CHECKING:
    from kly_mage.declared.mapping import Mapping

SOURCE = GAM_DELIVERY.name
PREFIXES = ('Dimension.', 'Column.')
"""How every column of such a report begins."""

# Totals hold what AdSense and Ad Exchange delivered, too.
_WORDS = {
    'served_at': ('Dimension.DATE',),
    'ad_unit': ('Dimension.AD_UNIT_NAME',),
    'line_item': ('Dimension.LINE_ITEM_NAME',),
    'creative': ('Dimension.CREATIVE_NAME',),
    'site': ('Dimension.SITE_NAME', 'Dimension.DOMAIN'),
    'content_id': ('Dimension.CUSTOM_CRITERIA',),
    'impressions': ('Column.TOTAL_LINE_ITEM_LEVEL_IMPRESSIONS', 'Column.AD_SERVER_IMPRESSIONS'),
    'clicks': ('Column.TOTAL_LINE_ITEM_LEVEL_CLICKS', 'Column.AD_SERVER_CLICKS'),
    'revenue_usd': ('Column.TOTAL_LINE_ITEM_LEVEL_ALL_REVENUE', 'Column.AD_SERVER_ALL_REVENUE'),
}
_OPTIONS = {'content_id': {'key': 'content_id'}, 'revenue_usd': {'unit': 'micros'}}


def is_report(header: Collection[str]) -> bool:
    """Whether these are the columns of such a report."""
    return bool(header) and all(name.startswith(PREFIXES) for name in header)


def mapping(header: Collection[str], own: Mapping | None) -> Mapping:
    """The mapping of a report with these columns; a declared column that the report lacks is not mapped.

    Money is whole micros of the network's currency, and taken for US dollars.

    Args:
        own: what somebody says of the file, which counts before that: another currency, another key than ``content_id``.
    """
    return recognised.mapped(SOURCE, recognised.origins(_WORDS, header), _OPTIONS, own)
