"""The benchmark at a hundredth of its size: it works, and a wrong result is a failed run."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from bench import __main__ as bench
from bench import corrections, data, oracle
from bench.contestants import Ours, Yardstick, database
from bench.data import Job
from bench.measure import Meter

pytestmark = pytest.mark.one_version

JOB = Job(5_000, 31)


@pytest.fixture
def meter(postgres: str) -> Iterator[Meter]:
    with database(postgres, 'postgres') as admin:
        yield Meter(admin, int((Path(postgres) / '.s.PGSQL.5432.lock').read_text().splitlines()[0]))


def test_the_benchmark_measures_its_contestants_and_finds_them_right(
    postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def server() -> Iterator[tuple[str, int]]:
        yield postgres, int((Path(postgres) / '.s.PGSQL.5432.lock').read_text().splitlines()[0])

    monkeypatch.setattr(bench, '_embedded_server', server)
    small = ['--rows', '5000', '--repeat', '1', '--no-results']
    assert bench.main(['month', 'scan', 'export', *small, '--work', str(tmp_path)]) == 0
    out = capsys.readouterr().out
    lines = {
        tuple(cell.strip() for cell in line.split('|')[1:3]): line for line in out.splitlines() if line.startswith('| ')
    }
    for step in ('first', 'again', 'late'):
        assert lines['plain_sql', step].split('|')[4].strip() == '1.00'
        assert float(lines['kly_mage', step].split('|')[9]) > 50, 'the peak memory of a Python process in MB'
    assert ('floor', 'first') in lines
    assert lines['raw_scan', next(cells[1] for cells in lines if cells[0] == 'raw_scan')].split('|')[3].strip() == '1.00'
    assert any(cells[0] == 'reconcile' for cells in lines)
    ways = {cells[0]: line.split('|') for cells, line in lines.items() if cells[0] in ('csv', 'export')}
    assert ways['csv'][4].strip() == '1.00'
    assert float(ways['export'][7]) > 50
    for stage in ('read', 'hash', 'distinct', 'known?', 'registry', 'COPY', 'ga4_daily_summary', 'daily_summary'):
        assert f'{stage} ' in next(line for line in out.splitlines() if 'stage, kly_mage first' in line)


def test_a_step_that_takes_less_than_a_tick_has_taken_something(meter: Meter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, '_server_cpu', lambda: 1.0)
    with meter.measuring() as cost:
        sum(range(100))
    assert cost.cpu > 0  # others are told beside it, as ratios


@pytest.mark.slow
def test_corrections_are_measured_beside_late_rows_and_found_right(
    postgres: str, meter: Meter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = corrections.run(postgres, meter, tmp_path, JOB, 1)
    assert found.costs.keys() == corrections.STEPS.keys()
    assert all(len(costs) == 1 and costs[0].seconds > 0 for costs in found.costs.values())
    shutil.rmtree(tmp_path / JOB.name)
    monkeypatch.setattr(Ours, 'result', f'select * from ({Ours.result}) as found offset 1')
    with pytest.raises(oracle.WrongResultError, match='kly_mage, plain'):
        corrections.run(postgres, meter, tmp_path, JOB, 1)


@pytest.mark.parametrize('who', [Ours, Yardstick])
def test_a_wrong_result_is_a_failed_run(
    postgres: str, meter: Meter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: type[Ours] | type[Yardstick]
) -> None:
    monkeypatch.setattr(who, 'result', f'select * from ({who.result}) as found offset 1')
    with pytest.raises(oracle.WrongResultError, match=f'{who.name}, first'):
        bench._run(JOB, [who], postgres, meter, tmp_path, 1)


def test_the_oracle_counts_distinct_rows_by_local_day(tmp_path: Path) -> None:
    file = tmp_path / 'first' / 'ga4_events' / 'ga4_events.csv'
    file.parent.mkdir(parents=True)
    file.write_text(
        'event_timestamp,event_name,user_pseudo_id,session_id,content_id\n'
        '2025-10-01T16:59:59.000000Z,page_view,u,1,a\n'  # 23:59:59 in Jakarta
        '2025-10-01T17:00:00.000000Z,page_view,u,1,a\n'  # the next day
        '2025-10-01T17:00:00.000000Z,page_view,u,1,a\n'  # the same row again
        '2025-10-01T18:00:00.000000Z,user_engagement,u,1,a\n'
        '2025-10-01T18:00:00.000000Z,page_view,,2,\n'  # no user, so no session; no article
    )
    assert oracle.expected([file]) == {
        ('2025-10-01', 'a', 1, 1, 0),
        ('2025-10-02', 'a', 1, 1, 1),
        ('2025-10-02', '(not set)', 1, 0, 0),
    }


def test_the_data_are_the_same_every_time_and_what_the_job_says() -> None:
    on_time, late = data.events(JOB)
    assert on_time.equals(data.events(JOB)[0])
    assert (on_time.height, late.height) == (5_000, 50)
    assert on_time.height - on_time.unique().height == 100
    assert late.join(on_time, on=on_time.columns, how='semi', nulls_equal=True).is_empty()
    assert {name for name in on_time.columns if on_time[name].null_count()} >= {'user_pseudo_id', 'content_id', 'country'}
    days = (
        pl.concat([on_time, late])['event_timestamp'].str.to_datetime(time_zone='UTC').dt.convert_time_zone('Asia/Jakarta')
    )
    assert days.dt.date().unique().sort().to_list() == [date(2025, 10, day) for day in range(1, 32)]
    looks = data.events(replace(JOB, rows=50_000))[0]
    visits = looks.select(pl.col('event_timestamp').str.head(10), 'content_id', 'user_pseudo_id', 'session_id').n_unique()
    assert 0.2 < visits / 50_000 < 0.4, 'several events per session on an article'
