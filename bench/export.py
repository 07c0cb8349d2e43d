"""What GA4's BigQuery export costs beside a CSV of the same events: nested Parquet, flattened on the way in."""

import sys
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from bench import oracle
from bench.contestants import Ours, database, fresh
from bench.data import Job, articles, write
from bench.measure import Cost, Meter

WAYS = {
    'csv': 'the events as `ga4_events.csv`, as in the job `month`',
    'export': 'the same events as BigQuery exports them to Parquet: parameters in lists, device, geo and source in groups',
}
_ROW_GROUP = 100_000


@dataclass(frozen=True)
class Export:
    """What loading the events costs, by the way they come."""

    rows: int
    costs: dict[str, list[Cost]]


def run(host: str, meter: Meter, work: Path, job: Job, rounds: int) -> Export:
    """Load the same events in both ways, each into an empty database, round by round; gold has to be the same."""
    csv = write(job, work)['first']
    files = {'csv': csv, 'export': _write(csv, work / job.name / 'export', job)}
    costs: dict[str, list[Cost]] = {way: [] for way in WAYS}
    contestant = Ours(host, job)
    contestant.database = 'bench_export'
    for turn in range(rounds):
        for way in list(WAYS) if turn % 2 else list(WAYS)[::-1]:
            fresh(host, contestant.database)
            with meter.measuring() as cost:
                contestant.step(files[way], cost)
            costs[way].append(cost)
            sys.stderr.write(
                f'export round {turn + 1} {way}: {cost.seconds:.2f} s, {cost.cpu:.2f} s CPU, {cost.peak_mb:.0f} MB,'
                f' {" ".join(f"{k} {v:.2f}" for k, v in cost.stages.items())}\n'
            )
            with database(host, contestant.database) as connection:
                oracle.check(f'kly_mage, {way}', connection, str(Ours.result), oracle.expected([csv]))
    fresh(host, contestant.database)
    return Export(job.rows, costs)


def _write(csv: Path, folder: Path, job: Job) -> Path:
    """The landing zone of the export, if it is not there yet; gives its file of events."""
    file = folder / 'ga4_events' / 'events.parquet'
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        articles(job).write_csv(folder / 'cms_articles.csv')
        nested = pl.read_csv(csv, infer_schema=False, missing_utf8_is_empty_string=False).lazy().pipe(_nested)
        made = file.with_suffix('.part')
        pq.write_table(nested.collect().to_arrow(), made, compression='snappy', row_group_size=_ROW_GROUP)
        made.rename(file)
    return file


def _nested(events: pl.LazyFrame) -> pl.LazyFrame:
    number, text = pl.lit(None, pl.Int64), pl.lit(None, pl.String)

    def parameter(key: str, string: pl.Expr = text, whole: pl.Expr = number) -> pl.Expr:
        nothing = pl.lit(None, pl.Float64)
        value = pl.struct(string_value=string, int_value=whole, float_value=nothing, double_value=nothing)
        return pl.struct(key=pl.lit(key), value=value)

    session = pl.col('session_id').cast(pl.Int64)
    return events.select(
        event_date=pl.col('event_timestamp').str.head(10).str.replace_all('-', ''),
        event_timestamp=pl.col('event_timestamp').str.to_datetime('%Y-%m-%dT%H:%M:%S%.6fZ', time_unit='us').dt.epoch('us'),
        event_name='event_name',
        event_params=pl.concat_list(
            parameter('ga_session_id', whole=session),
            parameter('ga_session_number', whole=session % 7 + 1),
            parameter('page_location', pl.col('page_location')),
            parameter('page_title', pl.format('Headline of {}', pl.col('content_id').fill_null('the front page'))),
            parameter('page_referrer', pl.format('https://{}/', pl.col('site'))),
            parameter('content_id', pl.col('content_id')),
            parameter('engaged_session_event', whole=pl.lit(1, pl.Int64)),
            parameter('engagement_time_msec', whole=session % 9_000),
        ),
        user_pseudo_id='user_pseudo_id',
        user_first_touch_timestamp=session * 1_000_000,
        device=pl.struct(
            category='device_category',
            operating_system=pl.lit('Android'),
            language=pl.lit('id-id'),
            web_info=pl.struct(browser=pl.lit('Chrome'), hostname='site'),
        ),
        geo=pl.struct(continent=pl.lit('Asia'), country='country'),
        traffic_source=pl.struct(name=pl.lit('(not set)'), medium=pl.lit('organic'), source='traffic_source'),
        stream_id=pl.lit('5550001'),
        platform=pl.lit('WEB'),
        is_active_user=pl.lit(True),
        session_traffic_source_last_click=pl.struct(manual_campaign=pl.struct(source='traffic_source')),
    )
