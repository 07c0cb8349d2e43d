"""The marts' declarations: what they say agrees with the sources, the SQL blocks, and itself."""

import re

import polars as pl
import pytest

from kly_mage.common.settings import PROJECT
from kly_mage.declared import SOURCES
from kly_mage.declared.marts import DAILY_SUMMARY, MARTS, Distinct, Mart, Measure, Rows, Sum, joined_measures, mart_of
from kly_mage.loads import runner
from kly_mage.rows.measures import per_row
from kly_mage.warehouse.postgres.mart_block import preview_block, preview_joined

every_mart = pytest.mark.parametrize('mart', MARTS, ids=lambda mart: mart.name)


@every_mart
def test_everything_of_a_mart_is_described_in_one_line(mart: Mart) -> None:
    texts = [mart.grain, mart.day.description, *(each.description for each in (*mart.by, *mart.measures))]
    for counted in mart.registries:
        texts += [counted.grain, counted.key_description]
    for text in texts:
        assert re.fullmatch(r'[A-Z0-9][^\n]*\.', text), text
    assert all(grain.startswith('One row per ') for grain in (mart.grain, *(counted.grain for counted in mart.registries)))


@every_mart
def test_names_of_a_mart_are_plain_and_not_taken_twice(mart: Mart) -> None:
    names = [*mart.key, *(measure.name for measure in mart.measures)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch('[a-z][a-z0-9_]*', name) for name in (mart.name, *names))


@every_mart
def test_a_mart_is_made_of_columns_that_its_source_has(mart: Mart) -> None:
    source = SOURCES[mart.source]
    assert all(key.column in source.names for key in mart.by)
    for measure in mart.measures:
        match measure.of:
            case Rows(column, _):
                assert source.column(column).kind in ('text', 'id')
            case Sum(column):
                assert source.column(column).kind == ('money' if measure.unit == 'USD' else 'count')
            case Distinct(columns):
                assert set(columns) <= set(source.names)
        # reconcile keeps both under their names: one name, one meaning
        assert measure.name not in source.names or measure.of == Sum(measure.name)


def test_a_source_has_one_mart_at_most() -> None:
    assert len({mart.source for mart in MARTS}) == len(MARTS)
    assert {name for name in SOURCES if mart_of(name)} == {mart.source for mart in MARTS}


def test_every_mart_has_its_sql_block_behind_the_exporter_of_its_source() -> None:
    blocks = {block.uuid: block for block in runner.blocks(runner.names())}
    for mart in MARTS:
        assert blocks[mart.name].language == 'sql'
        assert blocks[mart.name].upstream == (f'export_{mart.source}',)
        assert f'\nmerge into {mart.table} as target\n' in blocks[mart.name].sql()
    assert set(DAILY_SUMMARY.marts) <= {mart.name for mart in MARTS}


@every_mart
def test_the_preview_of_a_mart_shows_what_is_declared(mart: Mart) -> None:
    assert (PROJECT / 'data_loaders' / f'preview_{mart.name}.sql').read_text('utf-8') == preview_block(mart)


def test_the_preview_of_the_joined_view_shows_what_is_declared() -> None:
    assert (PROJECT / 'data_loaders' / f'preview_{DAILY_SUMMARY.name}.sql').read_text('utf-8') == preview_joined()


def test_what_is_shown_of_the_joined_view_is_a_column_of_it() -> None:
    numbers = [*(measure.name for measure in joined_measures()), *(ratio.name for ratio in DAILY_SUMMARY.ratios)]
    texts = [key.name for key in DAILY_SUMMARY.attributes]
    assert set(DAILY_SUMMARY.drawn) <= set(numbers)
    assert [name for name in DAILY_SUMMARY.shown if name in texts] == list(DAILY_SUMMARY.shown[:1])  # texts stand first
    assert set(DAILY_SUMMARY.shown[1:]) <= set(numbers)
    assert all({ratio.of, ratio.per} <= set(numbers) for ratio in DAILY_SUMMARY.ratios)


def test_what_one_row_contributes() -> None:
    rows = pl.DataFrame({'event_name': ['page_view', 'scroll', 'page_view'], 'clicks': [2, 0, 5]})
    views = Measure('views', 'Views.', Rows('event_name', 'page_view'))
    clicks = Measure('clicks', 'Clicks.', Sum('clicks'))
    told = rows.select(per_row(views).alias('views'), per_row(clicks))
    assert told.to_dict(as_series=False) == {'views': [1, 0, 1], 'clicks': [2, 0, 5]}


def test_distinct_keys_do_not_add_up_over_rows() -> None:
    sessions = Measure('sessions', 'Sessions.', Distinct(('user',), 'seen', 'One row per user.', 'user_key', 'Hash.'))
    assert not sessions.adds_up
    with pytest.raises(TypeError, match='sessions does not add up over rows'):
        per_row(sessions)
