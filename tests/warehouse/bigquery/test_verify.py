"""``verify`` and ``rebuild`` on BigQuery: what was changed by hand is named in the words of PostgreSQL, and built again."""

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import Settings
from kly_mage.warehouse.bigquery.engine import BigQuery
from tests.delivery import ad, ads, article, backfill, deliver, event
from tests.warehouse.bigquery.test_loads import Query, assert_gold_is_exact


def verified(capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    """Exit code and lines of ``verify``."""
    capsys.readouterr()
    code = main(['verify'])
    return code, capsys.readouterr().out.splitlines()


def test_what_was_changed_by_hand_is_named_and_gold_is_built_again(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verified(capsys) == (0, ['nothing has been loaded yet'])
    deliver(settings, 'gam_delivery_20251001.csv', ad('top', '1.5'), ad('side', '-0.25'), ad('side', '9'))
    with monkeypatch.context() as patched:
        patched.setattr(BigQuery, 'refresh', lambda self, mart, text: None)
        assert ads() == 3  # a key with other numbers
    code, lines = verified(capsys)
    assert (code, lines[0]) == (3, 'waiting: gold.gam_daily_summary has rows of bronze.gam_delivery to count')
    assert lines[-1].startswith('0 differences; ')
    deliver(settings, 'cms_articles_20251001.csv', article('7'))
    deliver(settings, 'ga4_events_20251001.csv', event('u1'), event('u1', session='2'), event('u2', content=''), event(''))
    assert backfill() == 3
    code, lines = verified(capsys)
    assert (code, lines[-1]) == (
        0,
        '0 differences; rows checked: bronze.cms_articles 1, bronze.ga4_events 4, bronze.gam_delivery 2, '
        'gold.ga4_daily_summary 2, gold.ga4_daily_sessions 3, gold.gam_daily_summary 1, gold.daily_summary 2',
    )
    ((top,),) = query("select _hashrow from bronze.gam_delivery where ad_unit = 'top'")
    ((side,),) = query("select _hashrow from bronze.gam_delivery where ad_unit = 'side'")
    query("update bronze.gam_delivery set clicks = 3 where ad_unit = 'top'")
    query(f"delete from bronze.gam_delivery_hashrow where _hashrow = '{side}'")
    query('insert into bronze.cms_articles_hashrow select * from bronze.cms_articles_hashrow')
    query("delete from gold.ga4_daily_summary where content_id = '(not set)'")
    query('update gold.daily_summary_rows set pageviews = 5 where pageviews = 3')
    query('delete from gold.ga4_daily_sessions where true')
    query("update ops.loads set rows_new = 7 where source = 'ga4_events'")
    code, lines = verified(capsys)
    ((load,),) = query("select load_id from ops.loads where source = 'ga4_events'")
    ((article_hash,),) = query('select _hashrow from bronze.cms_articles')
    assert code == 1
    # The hash of ads is over what they are, not over their numbers: the registry has those that count.
    told = '\n'.join(lines)
    assert f'bronze.gam_delivery {top}: clicks is 3, bronze.gam_delivery_hashrow has 0' in lines
    assert f'bronze.gam_delivery {side}: bronze.gam_delivery_hashrow does not have it; the row has _updated_at' in told
    assert f'bronze.gam_delivery_conflicts {side}: a further version' in told
    assert f'bronze.cms_articles_hashrow {article_hash}: 2 entries of this hash, 1 is right' in lines
    assert f'bronze.ga4_events load {load}: 4 rows, ops.loads has 7' in lines
    missing = 'is missing; bronze gives pageviews 1, sessions 1, user_engagements 0'
    assert f'gold.ga4_daily_summary (2025-10-01, (not set)): {missing}' in lines
    assert 'gold.gam_daily_summary (2025-10-01, 7): clicks is 0, bronze gives 3' in lines
    assert 'gold.daily_summary (2025-10-01, 7): pageviews is 5, bronze gives 3' in lines
    assert sum(line.startswith('gold.ga4_daily_sessions (') for line in lines) == 3
    query("update bronze.gam_delivery set clicks = 0 where ad_unit = 'top'")
    capsys.readouterr()
    assert main(['rebuild']) == 0
    assert capsys.readouterr().out == (
        'gold.ga4_daily_summary: 2 rows; gold.gam_daily_summary: 1 row; gold.daily_summary: 2 rows\n'
    )
    assert_gold_is_exact(query, settings.data_dir)
    code, lines = verified(capsys)
    # The registry of ads lacks one that has a further version, that of articles has one twice, the ledger says 7.
    assert lines[-1].startswith('4 differences; ')
    assert not any(line.startswith('gold.') for line in lines)
    assert query('select run from ops.costs order by finished_at desc limit 2') == [('verify',), ('rebuild',)]
