"""Small deliveries for the tests: files of the landing zone, their rows, and the command that loads them."""

import gzip
from pathlib import Path

from kly_mage.__main__ import main
from kly_mage.common.settings import Settings

HEADERS = {
    'cms_articles': 'content_id,site,title,author,section,publish_timestamp',
    'ga4_events': 'event_timestamp,event_name,user_pseudo_id,session_id,content_id',
    'gam_delivery': 'served_at,ad_unit,line_item,creative,content_id,impressions,clicks,revenue_usd',
}


def deliver(settings: Settings, name: str, *rows: str | bytes, header: str | None = None) -> Path:
    """Write a file; its source is the beginning of its name. A name that ends in .gz is packed."""
    source = next(source for source in HEADERS if name.startswith(source))
    path = settings.data_dir / source / name
    lines = [
        (HEADERS[source] if header is None else header).encode(),
        *(r.encode() if isinstance(r, str) else r for r in rows),
    ]
    content = b''.join(line + b'\n' for line in lines)
    path.write_bytes(gzip.compress(content) if name.endswith('.gz') else content)
    return path


def ad(ad_unit: str = 'top', revenue: str = '1', impressions: str = '10', clicks: str = '0', day: str = '2025-10-01') -> str:
    """An ad row on article 7, at noon in Jakarta."""
    return f'{day}T12:00:00+07:00,{ad_unit},line,creative,7,{impressions},{clicks},{revenue}'


def event(user: str = 'u1', name: str = 'page_view', session: str = '1', content: str = '7', day: str = '2025-10-01') -> str:
    """An event at noon in Jakarta."""
    return f'{day}T12:00:00+07:00,{name},{user},{session},{content}'


def article(content_id: str, title: str = 'Title', published: str = '2025-10-01T08:00:00+07:00') -> str:
    """An article."""
    return f'{content_id},example.com,{title},Author,News,{published}'


def backfill(start: str = '2025-10-01', end: str | None = None, *options: str) -> int:
    """The command, in this process; gives its exit code."""
    return main(['backfill', '--start', start, '--end', end or start, *options])


def ads(start: str = '2025-10-01', end: str | None = None, *options: str) -> int:
    """The same for the pipeline of the ads alone."""
    return backfill(start, end, '--pipeline', 'ads_revenue', *options)
