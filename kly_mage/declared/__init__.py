"""What is declared once: sources with their columns and rules, and the marts that sum them up.

DDL, comments, casting, hashing, validation, checks and pages come from here. ``python -m kly_mage new-source NAME`` starts
a further source (docs/declarations.md).
"""

from kly_mage.declared.base import Source
from kly_mage.declared.cms_articles import CMS_ARTICLES
from kly_mage.declared.ga4_events import GA4_EVENTS
from kly_mage.declared.gam_delivery import GAM_DELIVERY

SOURCES: dict[str, Source] = {source.name: source for source in (CMS_ARTICLES, GA4_EVENTS, GAM_DELIVERY)}
