"""Rows of Ad Manager's REST API (``networks.reports``): what a report's dimensions and metrics are to ``gam_delivery``."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from kly_mage.declared import currency, recognised
from kly_mage.declared.gam_delivery import GAM_DELIVERY

if TYPE_CHECKING:
    from kly_mage.declared.mapping import Mapping

SOURCE = GAM_DELIVERY.name
DATE = 'DATE'
MONEY = ('REVENUE', 'REVENUE_WITHOUT_CPD', 'AD_SERVER_REVENUE', 'AD_SERVER_REVENUE_WITHOUT_CPD')
"""Metrics of which a whole number is micros, and another number units of the report's currency."""

_WORDS = {
    'served_at': (DATE,),
    'ad_unit': ('AD_UNIT_NAME', 'AD_UNIT_NAME_ALL_LEVEL', 'AD_UNIT_NAME_TOP_LEVEL'),
    'line_item': ('LINE_ITEM_NAME',),
    'creative': ('CREATIVE_NAME',),
    'site': ('SITE', 'SITE_NAME', 'DOMAIN'),
    'content_id': ('KEY_VALUES_NAME',),
    'impressions': ('IMPRESSIONS', 'AD_SERVER_IMPRESSIONS'),
    'clicks': ('CLICKS', 'AD_SERVER_CLICKS'),
    'revenue_usd': MONEY,
}
_NEEDED = {'served_at', 'ad_unit', 'impressions', 'revenue_usd'}


def is_report(header: Collection[str]) -> bool:
    """Whether these are the dimensions and metrics of such a report."""
    return _found(header).keys() >= _NEEDED


def mapping(header: Collection[str], own: Mapping | None) -> Mapping:
    """The mapping of a report with these columns; a declared column that the report lacks is not mapped.

    Args:
        own: what somebody says of the file, which counts before that.
    """
    found = _found(header)
    options = {'content_id': {'key': 'content_id'}} | currency.option('revenue_usd', found.get('revenue_usd'))
    return recognised.mapped(SOURCE, found, options, own)


def _found(header: Collection[str]) -> dict[str, str]:
    return recognised.origins(_WORDS, header, currency.without)
