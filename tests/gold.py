"""Comparing gold with the oracle."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.oracle import expected

Query = Callable[..., list[tuple[Any, ...]]]
TABLES = ('articles', 'ga4_daily_summary', 'gam_daily_summary', 'daily_summary')


def assert_gold_is_exact(query: Query, landing: Path, timezone: str = 'Asia/Jakarta', late_days: int = 3) -> None:
    """Every row of the gold tables, as the oracle works it out from the files."""
    truth = expected(landing, timezone, late_days)
    for table in TABLES:
        rows = getattr(truth, table)
        wanted = sorted((tuple(row.items()) for row in rows), key=str)
        if not wanted:
            assert query(f'select count(*) from gold.{table}') == [(0,)], table
            continue
        names = list(rows[0])
        found = sorted(
            (tuple(zip(names, row, strict=True)) for row in query(f'select {", ".join(names)} from gold.{table}')), key=str
        )
        missing, surplus = sorted(set(wanted) - set(found), key=str), sorted(set(found) - set(wanted), key=str)
        assert not missing, f'{table}: not in gold {missing[:3]}, but {surplus[:3]}'
        assert len(found) == len(wanted), f'{table}: {surplus[:3]} should not be there'


def gold(query: Query) -> dict[str, list[tuple[Any, ...]]]:
    """All of gold, ``_updated_at`` aside, to compare one state with another."""
    columns = {
        'articles': 'content_id, site, title, author, section, publish_timestamp',
        'ga4_daily_summary': 'event_date, content_id, pageviews, sessions, user_engagements',
        'gam_daily_summary': 'served_date, content_id, impressions, clicks, revenue_usd::text',
        'daily_summary': 'date, content_id, site, title, author, section, publish_timestamp, pageviews, sessions,'
        ' user_engagements, impressions, clicks, revenue_usd, page_rpm_usd, ecpm_usd, ctr',
    }
    return {table: query(f'select {names} from gold.{table} order by 1, 2') for table, names in columns.items()}


def empty_warehouse(query: Query) -> None:
    """As after the first start; DELETE, because a few rows go faster so than a hundred files are made anew."""
    query(
        """
        do $$ declare name text; begin
            for name in
                select oid::regclass from pg_class
                where relkind in ('r', 'p') and not relispartition
                    and relnamespace::regnamespace::text in ('bronze', 'ops', 'gold')
                    and relname not in ('settings', 'watermarks', 'schema_version', 'declarations')
                    and relname not in ('hash_rules', 'late_columns')
                order by relname = 'loads'
            loop execute 'delete from ' || name; end loop;
        end $$;
        update ops.watermarks set watermark = '-infinity', built_from = null
        """
    )
