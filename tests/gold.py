"""Comparing gold with the oracle."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from kly_mage.declared.marts import DAILY_SUMMARY
from tests.oracle import expected

Query = Callable[..., list[tuple[Any, ...]]]
RATIOS = [ratio.name for ratio in DAILY_SUMMARY.ratios]
TABLES = ('articles', 'ga4_daily_summary', 'gam_daily_summary', 'daily_summary')


def assert_gold_is_exact(
    query: Query, landing: Path, timezone: str = 'Asia/Jakarta', late_days: int = 3, *, ratios: bool = True
) -> None:
    """Every row of the gold tables, as the oracle works it out from the files.

    Args:
        ratios: whether they are exact, too, and what is added up further, as on PostgreSQL; else the last digit may be off
            by one, as of an emulator that divides doubles.
    """
    truth = expected(landing, timezone, late_days)
    for table in TABLES:
        rows = getattr(truth, table)
        if not rows:
            assert query(f'select count(*) from gold.{table}') == [(0,)], table
            continue
        names = [name for name in rows[0] if ratios or name not in RATIOS]
        wanted = sorted((tuple((name, row[name]) for name in names) for row in rows), key=str)
        found = sorted(
            (tuple(zip(names, row, strict=True)) for row in query(f'select {", ".join(names)} from gold.{table}')), key=str
        )
        missing, surplus = sorted(set(wanted) - set(found), key=str), sorted(set(found) - set(wanted), key=str)
        assert not missing, f'{table}: not in gold {missing[:3]}, but {surplus[:3]}'
        assert len(found) == len(wanted), f'{table}: {surplus[:3]} should not be there'
    if ratios:
        _assert_rollups_are_exact(query, truth.daily_summary)
    else:
        right = {(row['date'], row['content_id']): [row[name] for name in RATIOS] for row in truth.daily_summary}
        for day, content, *values in query(f'select date, content_id, {", ".join(RATIOS)} from gold.daily_summary'):
            assert_near(values, right[day, content])


def _assert_rollups_are_exact(query: Query, rows: Sequence[dict[str, Any]]) -> None:
    """``gold.monthly_summary`` and ``gold.daily_totals``: what the oracle has of days, added up."""
    added = ('pageviews', 'sessions', 'user_engagements', 'impressions', 'clicks', 'revenue_usd')
    months: dict[tuple[Any, ...], list[Any]] = {}
    totals: dict[tuple[Any, ...], list[Any]] = {}
    for row in rows:
        names = tuple(row[name] for name in ('site', 'title', 'author', 'section'))
        sums = [months.setdefault((row['date'].replace(day=1), row['content_id'], *names), [0] * (1 + len(added)))]
        for by, name in (('all', ''), *((by, row[by]) for by in ('site', 'section'))):
            sums.append(totals.setdefault((by, row['date'], name), [0] * (1 + len(added))))
        for at, value in enumerate((1, *(row[name] for name in added))):
            for each in sums:
                each[at] += value
    found = query(
        f'select month, content_id, site, title, author, section, count_days, {", ".join(added)} from gold.monthly_summary'
    )
    assert {tuple(row[:6]): list(row[6:]) for row in found} == months
    found = query(f'select by, date, name, count_rows, {", ".join(added)} from gold.daily_totals where count_rows <> 0')
    assert {tuple(row[:3]): list(row[3:]) for row in found} == totals


def assert_near(values: Sequence[Any], right: Sequence[Any]) -> None:
    """Ratios that differ in their last digit by one at most."""
    for value, wanted in zip(values, right, strict=True):
        assert value == wanted or abs(value - wanted) <= Decimal('0.000001'), (values, right)


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
