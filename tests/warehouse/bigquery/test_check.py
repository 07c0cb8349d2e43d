"""``check-bigquery``: what it says of an emulator, and that nothing stays behind, however it ends."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from kly_mage.__main__ import main
from kly_mage.checks.bigquery import (
    JOBS,
    SAMPLE,
    Finding,
    Report,
    Sample,
    _dropped,
    check,
    fingerprint,
    of_formula,
    throw_away,
)
from kly_mage.cli.check_bigquery import say_report
from kly_mage.common.errors import WarehouseError
from kly_mage.common.settings import REPOSITORY, Settings
from kly_mage.common.window import Window
from kly_mage.warehouse.bigquery.client import Client, Job
from kly_mage.warehouse.bigquery.engine import BigQuery
from kly_mage.warehouse.bigquery.text import placed
from tests.delivery import ad, article, deliver, event
from tests.oracle import Expected, expected

pytestmark = pytest.mark.usefixtures('without_tables')


def truth_of(settings: Settings) -> Sample:
    found = expected(settings.data_dir)
    new = {'cms_articles': 1, 'ga4_events': 2, 'gam_delivery': 1}
    return Sample(
        settings.data_dir,
        Window(date(2025, 10, 1), date(2025, 10, 1)),
        'Asia/Jakarta',
        new,
        len(found.daily_summary),
        fingerprint_of(found),
    )


def fingerprint_of(found: Expected) -> str:
    ratios = ('page_rpm_usd', 'ecpm_usd', 'ctr')
    return fingerprint([tuple(v for name, v in row.items() if name not in ratios) for row in found.daily_summary])


@pytest.fixture
def sample(settings: Settings) -> Sample:
    deliver(settings, 'cms_articles_20251001.csv', article('7'))
    deliver(settings, 'ga4_events_20251001.csv', event('u1'), event('u2'), event('u1'))
    deliver(settings, 'gam_delivery_20251001.csv', ad('top', '1.5'))
    return truth_of(settings)


@pytest.fixture
def data_sets(settings: Settings) -> Callable[[], list[str]]:
    google: Any = Client(settings)
    return lambda: [found.dataset_id for found in google._client.list_datasets()]


def test_the_truth_of_the_sample_is_the_oracles() -> None:
    found = expected(REPOSITORY / 'data')
    assert SAMPLE.new == {name: rows.distinct for name, rows in found.rows.items()}
    assert (SAMPLE.rows, SAMPLE.fingerprint) == (len(found.daily_summary), fingerprint_of(found))


@pytest.mark.slow
def test_a_check_says_on_80_columns_what_is_not_the_samples(
    settings: Settings, sample: Sample, data_sets: Callable[[], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    told, other = list[str](), replace(sample, fingerprint='0' * 16)
    report = check(throw_away(settings, other), other, told.append)
    wrong = [(each.what, each.found) for each in report.findings if each.is_right is False]
    assert wrong == [('gold.daily_summary: fingerprint', sample.fingerprint)]
    assert ('verify: differences', '0') in [(each.what, each.found) for each in report.findings]
    assert {job.what for job in report.jobs} >= {'schema', 'stage', 'load', 'refresh', 'check', 'verify'}
    assert len(report.jobs) < JOBS
    assert told[-1] == 'dropping the data sets'
    assert data_sets() == []
    assert say_report(report) == 1
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[:-1])) <= 80  # the last is a sentence, which a terminal breaks
    assert lines[-1].startswith('1 finding is wrong')


def test_what_cannot_be_seen_asks_for_a_look(capsys: pytest.CaptureFixture[str]) -> None:
    billed, unseen = Job('load', 5, 1 << 40, 7), Finding('bytes', '1', 'nothing', None)
    assert say_report(Report([Finding('rows', '1', '1', True)], [billed])) == 0
    assert say_report(Report([unseen], [billed])) == 3
    assert say_report(Report([Finding('rows', '1', '1', True)], [])) == 3
    assert '1,099,511,627,776 bytes billed, 6.25 USD' in capsys.readouterr().out


def test_a_load_that_fails_is_told_in_its_own_words(
    settings: Settings, sample: Sample, data_sets: Callable[[], list[str]]
) -> None:
    seen, empty = list[str](), replace(sample, folder=settings.local_dir / 'none')
    with pytest.raises(WarehouseError, match='none'):
        check(throw_away(settings, empty), empty, lambda line: seen.extend(data_sets()))
    assert len(seen) == 2 * 4  # before the loads, and before they are dropped
    assert data_sets() == []


def test_the_data_sets_go_after_ctrl_c(
    settings: Settings, sample: Sample, data_sets: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before all tables are there, too."""

    def interrupted(self: Client, text: str, values: Any = None, *, what: str) -> Any:
        Client.run(self, 'create schema if not exists bronze', what=what)
        assert len(data_sets()) == 1
        raise KeyboardInterrupt

    ours = throw_away(settings, sample)
    monkeypatch.setattr(BigQuery, 'client', property(lambda self: interrupted(Client(ours), '', what='schema')))
    with pytest.raises(KeyboardInterrupt):
        check(ours, sample, lambda line: None)
    assert data_sets() == []


def test_without_credentials_nothing_is_begun(settings: Settings, sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('BIGQUERY_EMULATOR_HOST')
    monkeypatch.setenv('GOOGLE_APPLICATION_CREDENTIALS', '/no/key.json')
    told = list[str]()
    with pytest.raises(WarehouseError, match='no credentials for Google Cloud'):
        check(throw_away(settings, sample), sample, told.append)
    assert told == []


def test_a_data_set_that_cannot_be_dropped_keeps_no_other(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from google.api_core.exceptions import Forbidden
    from google.cloud.bigquery import Client as Google

    asked = list[str]()

    def refuse(self: Any, name: str, **given: Any) -> None:
        asked.append(name)
        if name.endswith('gold'):
            raise Forbidden('Access Denied: Dataset kly_check_gold: Permission bigquery.datasets.delete denied')

    monkeypatch.setattr(Google, 'delete_dataset', refuse)
    with pytest.raises(WarehouseError, match=r'roles/bigquery\.dataOwner'):
        Client(replace(settings, bigquery_prefix='kly_check_')).drop_everything()
    assert sorted(asked) == ['kly_check_bronze', 'kly_check_gold', 'kly_check_ops', 'kly_check_staging']


def test_data_sets_that_stay_are_told_last(
    settings: Settings, sample: Sample, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(self: BigQuery) -> None:
        raise WarehouseError('Permission bigquery.datasets.delete denied')

    monkeypatch.setattr(BigQuery, 'drop_everything', refuse)
    told, ours = list[str](), throw_away(settings, sample)
    with _dropped(BigQuery(ours), told.append) as left:
        pass
    assert told[-1].startswith(f'{ours.bigquery_prefix}… may be left in the project: drop these data sets (Permission')
    assert say_report(Report([Finding('rows', '1', '1', True), *left], [Job('load', 5, 10, 7)])) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith('1 finding is wrong')


def test_what_loads_have_read_is_compared_with_the_formula() -> None:
    # 58,125 rows, twice 852 + 85 bytes of each and once 174.
    def found(read: int) -> tuple[str, bool | None]:
        told = of_formula([Job('load', read - 1, 0, 0), Job('load', 1, 0, 0), Job('refresh', 10**12, 0, 0)], SAMPLE)
        return told.expected, told.is_right

    assert found(60_000_000) == found(230_000_000) == ('119,040,000', True)
    assert found(59_000_000) == found(239_000_000) == ('119,040,000', None)
    assert of_formula([], SAMPLE).is_right is None


def test_only_data_sets_with_a_prefix_can_be_thrown_away(settings: Settings) -> None:
    with pytest.raises(ValueError, match='bronze'):
        Client(settings).drop_everything()


def test_what_it_will_do_and_cost_is_said_before(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['check-bigquery', '--dry-run']) == 0
    told = capsys.readouterr().out
    assert f'In {settings.bigquery_project} (US) the data sets kly_check_' in told
    # 120 jobs of 10^9 bytes, 6.25 USD for 2^40 of them.
    assert '0.68 USD at most' in told


def test_no_project_is_no_check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv('KLY_BIGQUERY_PROJECT', raising=False)
    assert main(['check-bigquery']) == 2
    assert 'KLY_BIGQUERY_PROJECT' in capsys.readouterr().err


def test_a_prefix_stands_in_front_of_data_sets_and_of_nothing_else() -> None:
    statement = "-- of gold.x's\ncreate schema if not exists gold options (d = 'it\\'s gold.x'); select gold.x.y from gold.x"
    assert placed(statement, 'k_') == (
        "-- of gold.x's\ncreate schema if not exists k_gold options (d = 'it\\'s gold.x'); select k_gold.x.y from k_gold.x"
    )
    assert placed(statement, '') == statement
