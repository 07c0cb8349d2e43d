"""Ad Manager's Data Transfer files, one event per line: which of them count, and what their fields are to us."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING

from kly_mage.declared.gam_delivery import GAM_DELIVERY

if TYPE_CHECKING:
    from kly_mage.declared.mapping import ColumnMapping, Mapping

SOURCE = GAM_DELIVERY.name
ROWS = ('served_at', 'ad_unit', 'line_item', 'creative', 'content_id', 'impressions', 'clicks', 'revenue_usd')
"""What the events of a file are added up to."""

EVENT = ('ImpressionId', 'KeyPart')
"""What tells impressions apart; a click has its own time and part of a key beside."""

CLICK = ('EventTimeUsec2', 'EventKeyPart')
REVENUE = 'EstimatedBackfillRevenue'
TARGETING = 'CustomTargeting'
_NEEDED = {'TimeUsec2', 'AdUnitId', *EVENT}
_NAME = re.compile(r'(Network(?:Backfill)?(?:Impressions|Clicks))_[0-9]+_[0-9]{8}')


def is_transfer(header: Collection[str]) -> bool:
    """Whether these are the fields of such a file."""
    return set(header) >= _NEEDED


def kind_of(name: str) -> str | None:
    """What the events of a file are, by its name without its folder, which alone tells; None of those that count nothing.

    ``NetworkImpressions``, ``NetworkBackfillImpressions``, ``NetworkClicks`` or ``NetworkBackfillClicks``.
    """
    found = _NAME.match(name)
    return found[1] if found else None


def article_of(own: Mapping | None) -> ColumnMapping:
    """Which field names an event's article, and how: as somebody says of the file, else the key ``content_id``."""
    from kly_mage.declared.mapping import ColumnMapping

    said = own.columns.get('content_id') if own else None
    return said or ColumnMapping.model_validate({'from': TARGETING, 'key': 'content_id'})


def mapping(own: Mapping | None) -> Mapping | None:
    """What lies between the sums and the source: the currency that somebody says, and the bound of the money."""
    from kly_mage.declared.mapping import ColumnMapping, Mapping

    if own is None:
        return None
    said = own.columns.get('revenue_usd')
    code = {'currency': said.currency} if said and said.currency else {}
    columns = {'revenue_usd': ColumnMapping.model_validate({'from': 'revenue_usd'} | code)}
    return Mapping(source=SOURCE, columns=columns, rates=own.rates, ecpm_limit=own.ecpm_limit)
