"""The exporters as Mage runs them: what they say of a load, to whom, and what their own tests take for a loss."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import PROJECT, Settings
from kly_mage.declared import SOURCES
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.loads import mage_run
from kly_mage.loads.steps import hash_rows, read_days
from tests.delivery import HEADERS, ad, deliver, event
from tests.gold import Query
from tests.mage.server import Webhook

DAY = {'start_date': '2025-10-01', 'end_date': '2025-10-01'}
RUN = {'pipeline_uuid': 'articles_performance', 'pipeline_run_id': 7, 'trigger_name': 'daily', 'env': 'prod'}


@pytest.fixture(autouse=True)
def without_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mage is not there: a run has no more to say than its arguments."""
    monkeypatch.setattr(mage_run, 'asked', lambda kwargs: {})


def block(source: str) -> Callable[..., dict[str, Any]]:
    """The exporter of a source, with its test behind it, as Mage runs them."""
    path = PROJECT / f'data_exporters/export_{source}.py'
    names: dict[str, Any] = {'data_exporter': lambda each: each, 'test': lambda each: each}
    exec(compile(path.read_text('utf-8'), path, 'exec'), names)

    def run() -> dict[str, Any]:
        silent = SimpleNamespace(info=lambda *_, **__: None, warning=lambda *_, **__: None)
        kwargs = {**DAY, **RUN, 'block_uuid': path.stem, 'logger': silent}
        done: dict[str, Any] = names[path.stem](hash_rows(read_days(source, DAY), source), **kwargs)
        names['test_every_row_is_accounted_for'](done)
        return done

    return run


def whole_day(settings: Settings, *rows: str) -> None:
    path = settings.data_dir / 'ga4_events/events_20251001.csv'
    path.write_text('\n'.join([HEADERS['ga4_events'], *rows, '']), 'utf-8')


@pytest.mark.one_version
def test_a_correction_after_the_day_was_final_lands_and_calls_somebody(
    settings: Settings, query: Query, alerted: Webhook
) -> None:
    export = block('ga4_events')
    whole_day(settings, event('u1'), event('u2'))
    assert export()['look'] == []
    assert alerted.posts == []
    whole_day(settings, event('u1'), event('u2', content='8'))  # in October's tables nothing has changed since the fifth
    done = export()
    said = 'days that were final are corrected (2025-10-01; gold.restatements says by how much)'
    assert said in done['look']
    (post,) = alerted.posts
    assert said in post['text']
    assert post['text'].startswith('articles_performance: run 7 (daily) has loaded ga4_events 2025-10-01: 2 read')
    assert query('select content_id from bronze.ga4_events_counted(array[%s::date]) order by 1', '2025-10-01') == [
        ('7',),
        ('8',),
    ]


@pytest.mark.one_version
def test_a_correction_of_ads_after_the_second_of_the_next_month_lands_and_calls_somebody(
    settings: Settings, query: Query, alerted: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = 'days that were final are corrected (2025-10-01; gold.restatements says by how much)'
    export = block('gam_delivery')
    deliver(settings, 'gam_delivery_20251001.csv', ad('a', '1'), ad('b', '1'))
    assert export()['look'] == []
    deliver(
        settings, 'gam_delivery_20251002.csv', ad('a', '2')
    )  # where the first version counts, another one corrects nothing
    assert said not in export()['look']
    monkeypatch.setitem(SOURCES, 'gam_delivery', replace(GAM_DELIVERY, restatements='apply'))
    deliver(settings, 'gam_delivery_20251003.csv', ad('a', '3'))
    done = export()
    assert said in done['look']
    assert said in alerted.posts[-1]['text']
    assert query('select revenue_usd from bronze.gam_delivery_counted(array[%s::date]) order by 1', '2025-10-01') == [
        (1,),
        (3,),
    ]
    assert said not in export()['look']  # nothing is newer


@pytest.mark.one_version
def test_an_exporter_accounts_for_rows_in_every_place(settings: Settings) -> None:
    whole_day(settings, event('u1'), event('u1'), event('gone'), 'no time,page_view,u1,1,7', event('u1', day='2025-09-01'))
    block('ga4_events')()
    assert main(['forget', '--user', 'gone']) == 0
    path = settings.data_dir / 'ga4_events/events_intraday_20251001.csv'
    path.write_text('\n'.join([HEADERS['ga4_events'], event('u3'), '']), 'utf-8')
    done = block('ga4_events')()
    places = ('read', 'already_loaded', 'duplicate', 'forgotten', 'rejected', 'outside', 'superseded')
    assert [done[f'rows_{place}'] for place in places] == [6, 1, 1, 1, 1, 1, 1]
    deliver(settings, 'gam_delivery_20251001.csv', ad('a'), ad('a', '2'), ad('b', 'x'))
    done = block('gam_delivery')()
    assert [done[f'rows_{place}'] for place in ('read', 'new', 'conflicting', 'rejected')] == [3, 1, 1, 1]
