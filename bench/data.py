"""The data of the benchmark: GA4 events as a publisher's pages send them, the same for the same arguments.

Visitors have sessions, a session looks at a few articles, a look sends several events, some articles have most of the
readers, some visitors gave no consent, and some rows are there twice.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

ARTICLES = 3000
EQUAL_SHARE, LATE_SHARE = 0.02, 0.01
_LOCAL_OFFSET = np.timedelta64(7, 'h')  # Asia/Jakarta
# What one look at an article sends, and how often: 3.4 events on average.
_LOOKS = {
    ('page_view', 'user_engagement'): 0.25,
    ('page_view', 'scroll', 'user_engagement'): 0.4,
    ('page_view', 'scroll', 'user_engagement', 'user_engagement'): 0.2,
    ('session_start', 'page_view', 'scroll', 'click', 'user_engagement'): 0.15,
}


@dataclass(frozen=True)
class Job:
    """What is loaded: ``rows`` events, equal ones included, over ``days`` days from ``start``, and a late batch."""

    rows: int
    days: int
    start: date = date(2025, 10, 1)

    @property
    def name(self) -> str:
        """For file and table names."""
        return f'{self.rows}_{self.days}'


def events(job: Job, seed: int = 20251001) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The events on time, in the order a collector writes them, and the late ones."""
    random = np.random.default_rng(seed)
    late = round(job.rows * LATE_SHARE)
    equal = round(job.rows * EQUAL_SHARE)
    distinct = _distinct(random, job.rows - equal + late, job)
    order = random.permutation(distinct.height)
    too_late, on_time = distinct[np.sort(order[:late])], distinct[np.sort(order[late:])]
    again = on_time[np.sort(random.integers(0, on_time.height, equal))]
    # Half of the equal rows follow close behind the first, the others stand at the end of the file.
    near = pl.concat([on_time, again[: equal // 2]]).sort('event_timestamp', maintain_order=True)
    return pl.concat([near, again[equal // 2 :]]), too_late


def articles(job: Job) -> pl.DataFrame:
    """The CMS's export: every article once."""
    number = pl.int_range(ARTICLES, dtype=pl.Int64, eager=True)
    return pl.select(
        content_id=pl.format('art-{}', number),
        site=pl.format('site{}.example', number % 4),
        title=pl.format('Headline number {}', number),
        author=pl.format('Author {}', number % 40),
        section=pl.format('section-{}', number % 9),
        publish_timestamp=pl.lit(f'{job.start}T06:00:00+07:00'),
    )


def write(job: Job, folder: Path) -> dict[str, Path]:
    """Write the landing zones ``first`` and ``late``, if they are not there yet; gives the event file of each."""
    name = f'ga4_events_{job.start:%Y%m%d}' if job.days == 1 else 'ga4_events'
    first, late = (folder / job.name / part / 'ga4_events' for part in ('first', 'late'))
    files = {
        'first': first / f'{name}.csv',
        'late': late / f'{name}_late.csv',
    }  # of one name: changed
    if not (folder / job.name / 'complete').exists():
        for file, frame in zip(files.values(), events(job), strict=True):
            file.parent.mkdir(parents=True, exist_ok=True)
            frame.write_csv(file)
            articles(job).write_csv(file.parents[1] / 'cms_articles.csv')
        (folder / job.name / 'complete').touch()
    return files


def local_day() -> pl.Expr:
    """The day of an event where its readers are, as the column ``day``."""
    instant = pl.col('event_timestamp').str.to_datetime('%Y-%m-%dT%H:%M:%S%.6fZ', time_zone='UTC')
    return instant.dt.convert_time_zone('Asia/Jakarta').dt.date().alias('day')


def _distinct(random: np.random.Generator, rows: int, job: Job) -> pl.DataFrame:
    """``rows`` different events in the order of time."""
    kinds = list(_LOOKS)
    sizes = np.array([len(kind) for kind in kinds])
    looks = round(rows / float(sizes @ np.array(list(_LOOKS.values()))) * 1.02) + 20
    kind = random.choice(len(kinds), looks, p=list(_LOOKS.values()))
    # A session looks at one to four articles within minutes; looks of one session are neighbours here.
    session = np.cumsum(random.random(looks) < 0.55)
    sessions = int(session[-1]) + 1
    day_us = 86_400_000_000
    begin = (random.integers(0, job.days, sessions) * day_us + random.beta(2.2, 1.6, sessions) * (day_us - 3_700_000_000))[
        session
    ]
    user = random.integers(0, max(20, sessions // 2), sessions)[session]
    consent = (random.random(sessions) > 0.03)[session]
    device = random.choice(['mobile', 'desktop', 'tablet'], sessions, p=[0.72, 0.24, 0.04])[session]
    country = random.choice(['Indonesia', 'Malaysia', 'Singapore', ''], sessions, p=[0.9, 0.06, 0.03, 0.01])[session]
    traffic = random.choice(['google', '(direct)', 'facebook', 'newsletter', ''], sessions, p=[0.5, 0.3, 0.14, 0.05, 0.01])
    article = np.minimum((random.pareto(0.9, looks) * 12).astype(np.int64), ARTICLES - 1)
    front = random.random(looks) < 0.04  # a front page has no content_id
    look = np.repeat(np.arange(looks), sizes[kind])
    place = np.arange(look.size) - np.repeat(np.cumsum(sizes[kind]) - sizes[kind], sizes[kind])
    name = np.array([kinds[k][p] for k in range(len(kinds)) for p in range(sizes[k])])
    first_name = np.cumsum(sizes) - sizes
    micros = begin[look] + (look % 7) * 170_000_000 + place * 11_000_000 + random.integers(0, 9_000_000, look.size)
    start = np.datetime64(job.start, 'us') - _LOCAL_OFFSET
    raw = pl.DataFrame(
        {
            'at': start + micros.astype('timedelta64[us]'),
            'event_name': name[first_name[kind[look]] + place],
            'user': user[look],
            'consent': consent[look],
            'session': session[look],
            'article': article[look],
            'front': front[look],
            'device': device[look],
            'country': country[look],
            'traffic': traffic[session][look],
        }
    )
    table = raw[:rows].sort('at', maintain_order=True)
    if table.height < rows:
        raise AssertionError('too few looks were drawn')
    site = pl.format('site{}.example', pl.col('article') % 4)
    return table.select(
        event_timestamp=pl.col('at').dt.strftime('%Y-%m-%dT%H:%M:%S%.6fZ'),
        event_name='event_name',
        user_pseudo_id=pl.when('consent').then(
            pl.format('{}.{}', pl.col('user') * 7919 % 1_999_999_973 + 10**8, pl.col('user') % 90_000_000 + 1_700_000_000)
        ),
        session_id=pl.when('consent').then((pl.col('session') % 30_000_000 + 1_730_000_000).cast(pl.String)),
        content_id=pl.when(~pl.col('front')).then(pl.format('art-{}', pl.col('article'))),
        site=site,
        page_location=pl.when('front')
        .then(pl.format('https://{}/', site))
        .otherwise(pl.format('https://{}/article/{}', site, pl.col('article'))),
        device_category='device',
        country=pl.when(pl.col('country') != '').then('country'),
        traffic_source=pl.when(pl.col('traffic') != '').then('traffic'),
    )
