"""What others have built on gold survives when a view there is made anew: their grants and their views."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from psycopg2.errors import DependentObjectsStillExist

from kly_mage.__main__ import main
from kly_mage.common.settings import PROJECT, Settings
from kly_mage.declared import SOURCES
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.warehouse.postgres import ddl
from kly_mage.warehouse.postgres.blocks import run_sql
from tests.delivery import article, backfill, deliver, event
from tests.gold import Query

ROLE = 'kly_test_analyst'


@pytest.fixture
def built(settings: Settings, query: Query) -> Iterator[Settings]:
    """Gold with one article, and an analyst's views above it: one of them stored, with an index."""
    deliver(settings, 'cms_articles_20251001.csv', article('7'))
    deliver(settings, 'ga4_events_20251001.csv', event())
    backfill('2025-10-01', None, '--pipeline', 'articles_performance', '--quiet')
    query(f'drop role if exists {ROLE}')
    query(f"""
        create role {ROLE};
        create schema bi authorization {ROLE};
        grant usage on schema gold, bronze to {ROLE};
        grant select on gold.daily_summary, gold.articles to {ROLE} with grant option;
        grant select (day, source) on gold.reconciliation to {ROLE};
        grant select on bronze.gam_delivery to {ROLE};
        set local role {ROLE};
        create view bi.titles with (security_barrier) as select content_id, title from gold.articles;
        create view bi.read as
            select summary.date, titles.title, summary.pageviews
            from gold.daily_summary as summary inner join bi.titles using (content_id);
        create materialized view bi.best as select * from bi.read order by pageviews desc;
        create unique index best_key on bi.best (date, title);
        create view bi.ads as select served_at, revenue_usd from bronze.gam_delivery;
        comment on view bi.read is 'What is read.';
        comment on column bi.read.title is 'The headline.';
        grant select on bi.read, bi.best to public;
    """)
    yield settings
    query(f'reset role; drop owned by {ROLE} cascade; drop role {ROLE}')


def everything(query: Query) -> list[tuple[Any, ...]]:
    """Views of gold and the analyst: definition, owner, grants, options, comments, indexes."""
    return query(
        """
        select class.oid::regclass::text, relkind, pg_get_viewdef(class.oid), pg_get_userbyid(relowner), relacl::text,
            reloptions,
            (select array_agg(attname || coalesce(attacl::text, '-') || coalesce(col_description(class.oid, attnum), '-')
                order by attnum) from pg_attribute where attrelid = class.oid and attnum > 0),
            obj_description(class.oid),
            (select array_agg(pg_get_indexdef(indexrelid)) from pg_index where indrelid = class.oid)
        from pg_class as class
        where relkind in ('v', 'm') and relnamespace::regnamespace::text in ('gold', 'bi') order by 1
        """
    )


def edit(monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    """The statements of the schema, as they are after an edit of their file."""
    statements = ddl.everything()
    assert old in statements
    monkeypatch.setattr(ddl, 'everything', lambda: statements.replace(old, new))


def summary_without(pattern: str) -> str:
    text = (PROJECT / 'data_exporters' / 'daily_summary.sql').read_text('utf-8')
    edited = re.sub(pattern, '', text, flags=re.MULTILINE)
    assert edited != text
    return edited


def test_a_column_more_in_the_middle_of_daily_summary_keeps_grants_and_views(built: Settings, query: Query) -> None:
    before = everything(query)
    text = (PROJECT / 'data_exporters' / 'daily_summary.sql').read_text('utf-8')
    run_sql(text.replace('    joined.pageviews,\n', '    joined.pageviews + 1 as more,\n    joined.pageviews,\n'))
    assert query('select more, pageviews from gold.daily_summary') == [(2, 1)]
    assert query('select title, pageviews from bi.best') == [('Title', 1)]
    after = everything(query)
    assert [row for row in after if row[0] != 'gold.daily_summary'] == [
        row for row in before if row[0] != 'gold.daily_summary'
    ]
    (grants,) = query("select relacl::text from pg_class where oid = 'gold.daily_summary'::regclass")[0]
    assert f'{ROLE}=r*/' in grants
    run_sql(text)
    assert everything(query) == before


def test_a_view_that_needs_a_column_that_goes_is_named_and_nothing_changes(built: Settings, query: Query) -> None:
    before = everything(query)
    with pytest.raises(
        DependentObjectsStillExist, match=r'the view bi.read of kly_test_analyst .*pageviews does not exist .change or drop'
    ):
        run_sql(summary_without(r'^    joined\.pageviews,\n|^        comment on column gold\.daily_summary\.pageviews .*\n'))
    assert everything(query) == before


def test_an_edit_of_the_articles_view_keeps_all_that_hangs_on_it(
    built: Settings, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(query)
    with monkeypatch.context() as edited:
        edit(edited, '    article.title,\n', '    length(article.title) as length,\n    article.title,\n')
        ddl.ensure_schema(built)
        assert query('select length, title from gold.articles') == [(5, 'Title')]
        assert query('select title, pageviews from bi.best') == [('Title', 1)]
    assert main(['migrate']) == 0
    assert everything(query) == before


def but_for_our_own_text(found: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The same without the text of gold.reconciliation, which groups by what is no part of the hash, and follows it."""
    return [(name, kind, None if name == 'gold.reconciliation' else text, *rest) for name, kind, text, *rest in found]


def test_a_view_on_bronze_survives_a_migration_of_its_source(
    built: Settings, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = but_for_our_own_text(everything(query))
    columns = (*(GAM_DELIVERY.hash_columns or ()), 'site')
    monkeypatch.setitem(SOURCES, 'gam_delivery', replace(GAM_DELIVERY, hash_columns=columns))
    assert main(['migrate']) == 0
    assert but_for_our_own_text(everything(query)) == before
