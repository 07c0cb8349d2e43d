"""The declarations: what they say agrees with the files, the blocks, and itself."""

import re

import polars as pl
import pytest

from kly_mage.common.settings import PROJECT
from kly_mage.declared import SOURCES
from kly_mage.declared.base import AgainstArticle, Source
from kly_mage.declared.cms_articles import CMS_ARTICLES
from kly_mage.declared.ga4_events import GA4_EVENTS
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.loads import runner
from kly_mage.rows import casting
from kly_mage.warehouse.postgres.types import POSTGRES_TYPES
from tests import oracle

every_source = pytest.mark.parametrize('source', SOURCES.values(), ids=SOURCES)


def test_columns_are_those_of_the_design() -> None:
    """The oracle has them from the design, and shares no code with the project."""
    released = {name: SOURCES[name] for name in oracle.COLUMNS}  # a further source is tested by whoever adds it
    declared = {name: {column.name: column.kind for column in source.columns} for name, source in released.items()}
    assert declared == oracle.COLUMNS
    required = {name: {column.name for column in source.columns if column.required} for name, source in released.items()}
    assert required == oracle.REQUIRED
    assert GAM_DELIVERY.hash_columns == oracle.GAM_KEY
    assert {column.name for column in GAM_DELIVERY.value_columns} == set(oracle.GAM_NUMBERS)


@every_source
def test_names_are_plain_and_leave_the_underscore_to_the_warehouse(source: Source) -> None:
    assert re.fullmatch('[a-z][a-z0-9_]*', source.name)
    assert all(re.fullmatch('[a-z][a-z0-9_]*', name) for name in source.names)
    assert len(set(source.names)) == len(source.names)


@every_source
def test_everything_is_described_in_one_sentence(source: Source) -> None:
    for text in (source.grain, *(column.description for column in source.columns)):
        assert re.fullmatch(r'[A-Za-z][^\n]*\.', text), text
    assert source.grain.startswith('One row per ')


@every_source
def test_the_day_is_a_timestamp_and_the_hash_is_over_columns_that_exist(source: Source) -> None:
    assert source.column(source.day_column).kind == 'timestamp'
    assert set(source.hash_columns or ()) <= set(source.names)
    assert set(POSTGRES_TYPES) >= {column.kind for column in source.columns}
    assert source.any_day or source.column(source.day_column).required, 'a row without a day would be in no load'


@every_source
def test_a_frame_has_a_type_for_every_column(source: Source) -> None:
    assert list(casting.typed_schema(source, ('new',))) == [*source.names, 'new', '_partition_date', '_reject']


@every_source
def test_a_rule_is_a_condition_over_the_frame_or_compares_columns_that_exist(source: Source) -> None:
    frame = pl.DataFrame(schema=casting.typed_schema(source))
    for rule in source.rules:
        if isinstance(rule.broken, AgainstArticle):
            assert (source.column(rule.broken.column).kind, CMS_ARTICLES.column(rule.broken.of_article).kind) == (
                'timestamp',
            ) * 2
        else:
            assert frame.select(pl.sql_expr(rule.broken)).dtypes == [pl.Boolean], rule.name


def test_money_and_values_are_what_the_hash_leaves_out() -> None:
    assert GAM_DELIVERY.money_columns == ('revenue_usd',)
    assert GA4_EVENTS.money_columns == GA4_EVENTS.value_columns == CMS_ARTICLES.value_columns == ()
    with pytest.raises(KeyError):
        GA4_EVENTS.column('revenue_usd')


def test_every_source_has_its_three_blocks_in_a_pipeline() -> None:
    blocks = {block.uuid for block in runner.blocks(runner.names()) if block.language == 'python'}
    assert blocks >= {f'{verb}_{name}' for name in SOURCES for verb in ('load', 'hash', 'export')}
    for name in SOURCES:
        for folder, verb in (('data_loaders', 'load'), ('transformers', 'hash'), ('data_exporters', 'export')):
            assert f"'{name}'" in (PROJECT / folder / f'{verb}_{name}.py').read_text('utf-8')
