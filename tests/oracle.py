"""What gold must hold after all files of a landing zone were loaded, computed without any of the product's code.

It reads the files with the standard library alone, one record after the other, keeps everything in memory and counts
with plain dictionaries and sets: slow beside the product, but each rule stands in one place and in words. It knows
nothing of hashes, registries, watermarks or SQL; where both agree, they agree for different reasons.

The terms:

record     one CSV record of a landing file
reject     a record that cannot be typed or lacks a required value
superseded a record of one of GA4's tables of a day, where another one holds that day whole; such a table is not read here.
           Where a file of GAM holds the last WHOLE_DAYS days whole: a record of an older file, in no other place here
outside    a record of a file whose own day is none of those the file covers, nor one of the late_days before: no load
           looks at it
distinct   what counts: the first delivery of each row
equal      a record that repeats a row already delivered
conflict   (GAM) a further version of a delivery already known, with other numbers or anything else in a column that is not
           declared; the first one counts, or where NEWEST_COUNTS the first one of the last file that has the delivery
"""

from __future__ import annotations

import gzip
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from datetime import timezone as fixed_offset
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

NOT_SET = '(not set)'
LONGEST_ID = 500
LARGEST_BIGINT = 2**63 - 1


# --- the sources ------------------------------------------------------------------------------------------------------

COLUMNS: dict[str, dict[str, str]] = {
    'cms_articles': {
        'content_id': 'id',
        'site': 'text',
        'title': 'text',
        'author': 'text',
        'section': 'text',
        'publish_timestamp': 'timestamp',
    },
    'ga4_events': {
        'event_timestamp': 'timestamp',
        'event_name': 'text',
        'user_pseudo_id': 'id',
        'session_id': 'id',
        'content_id': 'id',
        'site': 'text',
        'page_location': 'text',
        'device_category': 'text',
        'country': 'text',
        'traffic_source': 'text',
    },
    'gam_delivery': {
        'served_at': 'timestamp',
        'site': 'text',
        'ad_unit': 'text',
        'line_item': 'text',
        'creative': 'text',
        'content_id': 'id',
        'impressions': 'count',
        'clicks': 'count',
        'revenue_usd': 'money',
    },
}
REQUIRED = {
    'cms_articles': {'content_id'},
    'ga4_events': {'event_timestamp', 'event_name'},
    'gam_delivery': {'served_at', 'ad_unit', 'impressions', 'clicks', 'revenue_usd'},
}
# The CMS has no entry: its rows count whatever their day.
DAY_COLUMN = {'ga4_events': 'event_timestamp', 'gam_delivery': 'served_at'}
GAM_KEY = ('served_at', 'ad_unit', 'line_item', 'creative', 'content_id')
GAM_NUMBERS = ('site', 'impressions', 'clicks', 'revenue_usd')
NEWEST_COUNTS = False
WHOLE_DAYS: int | None = None  # rows are then the same if all they say is, and each of the newest word on its day counts
# A file dated f covers the local day f; of these sources the days that its day f in another zone touches, and so many after.
FILE_ZONE: dict[str, ZoneInfo] = {}
EARLY_DAYS: dict[str, int] = {}
# The tables of a day in GA4's export: the last of those that hold the day whole stands in the place of the others.
EXPORTED = {'ga4_events': ('events_intraday', 'events_fresh', 'events')}
WHOLE = ('events_fresh', 'events')


# --- results ----------------------------------------------------------------------------------------------------------


@dataclass
class Counts:
    """Where the records of one source went: `read` is the sum of all others."""

    read: int = 0
    rejected: int = 0
    outside: int = 0
    equal: int = 0
    conflicting: int = 0
    distinct: int = 0


@dataclass
class Expected:
    """Gold, each table as a list of rows ordered by key, and what did not reach it."""

    articles: list[dict[str, Any]] = field(default_factory=list)
    ga4_daily_summary: list[dict[str, Any]] = field(default_factory=list)
    gam_daily_summary: list[dict[str, Any]] = field(default_factory=list)
    daily_summary: list[dict[str, Any]] = field(default_factory=list)
    conflicts: list[dict[str, Any]] = field(default_factory=list)
    """GAM: every version after the first, with `first_…` beside each of its numbers, file and line."""
    money_in_conflicts: Decimal = Decimal(0)
    rejects: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(source, class of reason) -> records."""
    rejected_records: list[tuple[str, str, int, str]] = field(default_factory=list)
    """(source, file, line, class of reason)."""
    rows: dict[str, Counts] = field(default_factory=dict)
    lateness: dict[str, Counter[int]] = field(default_factory=dict)
    """Days between a distinct row's own day and the date of the file that first brought it (dated files only)."""


# --- values -----------------------------------------------------------------------------------------------------------


class BrokenRowError(Exception):
    """A record is a reject; the message is the class of the reason."""


TIMESTAMP = re.compile(
    r'([0-9]{4})-([0-9]{2})-([0-9]{2})'
    r'(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,6}))?)?(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?'
)
NUMBER = re.compile(r'[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?')


def instant_of(text: str, zone: ZoneInfo) -> datetime:
    """An ISO 8601 timestamp as an instant in UTC; without an offset it is local to `zone`, without a time midnight."""
    match = TIMESTAMP.fullmatch(text)
    if not match:
        raise BrokenRowError('bad_timestamp')
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    try:
        local = datetime(
            int(year),
            int(month),
            int(day),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            int((fraction or '').ljust(6, '0')),
            tzinfo=offset_of(offset) if offset else zone,
        )
        instant = local.astimezone(UTC)
        # A local time that a clock change skips is no instant: it does not survive the way to UTC and back.
        if instant.astimezone(local.tzinfo).replace(tzinfo=None) != local.replace(tzinfo=None):
            raise BrokenRowError('bad_timestamp')
    except (ValueError, OverflowError) as error:
        raise BrokenRowError('bad_timestamp') from error
    return instant


def offset_of(text: str) -> tzinfo:
    """`Z`, `+07`, `+0700` or `+07:00`, to 15 hours and 59 minutes either way as PostgreSQL has it."""
    if text == 'Z':
        return UTC
    digits = text[1:].replace(':', '').ljust(4, '0')
    if int(digits[:2]) > 15 or int(digits[2:]) > 59:
        raise ValueError(text)
    size = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return fixed_offset(-size if text[0] == '-' else size)


def number_of(text: str) -> Decimal | None:
    """A finite decimal, exactly; None if the text is anything else or beyond all sensible size."""
    if not NUMBER.fullmatch(text):
        return None
    value = Decimal(text)
    if value == 0:
        return Decimal(0)
    return value if -100 < value.adjusted() < 100 else None


def count_of(text: str) -> int:
    """A whole number from 0 to the largest bigint, however spelled: `12`, `12.0`, `+12` and `1.2e1` are one value."""
    value = number_of(text)
    if value is None or value < 0 or value != int(value) or value > LARGEST_BIGINT:
        raise BrokenRowError('bad_count')
    return int(value)


def money_of(text: str) -> Decimal:
    """An exact amount of at most 18 digits before and 12 after the point; needless zeros do not count."""
    value = number_of(text)
    if value is None or abs(value) >= 10**18 or (Fraction(value) * 10**12).denominator != 1:
        raise BrokenRowError('bad_money')
    return value


def id_of(text: str) -> str:
    """An id: text that is not longer than any id is."""
    if len(text) > LONGEST_ID:
        raise BrokenRowError('too_long')
    return text


def typed(source: str, record: dict[str, str | None], zone: ZoneInfo) -> dict[str, Any]:
    """The record's values with their types; None is no value. Raises BrokenRowError for a reject."""
    convert: dict[str, Callable[[str], Any]] = {
        'id': id_of,
        'text': str,
        'timestamp': lambda text: instant_of(text, zone),
        'count': count_of,
        'money': money_of,
    }
    if any(text is not None and '\0' in text for text in record.values()):
        raise BrokenRowError('nul_byte')
    values: dict[str, Any] = {}
    for column, kind in COLUMNS[source].items():
        text = record.get(column)
        if not text and column in REQUIRED[source]:
            raise BrokenRowError('missing_required')
        # An empty string is a text like any other, but no timestamp and no number.
        is_missing = text is None or (text == '' and kind in {'timestamp', 'count', 'money'})
        values[column] = None if is_missing else convert[kind](text or '')
    return values


# --- files ------------------------------------------------------------------------------------------------------------

FIELD = re.compile(r'"([^"]*(?:""[^"]*)*)"|([^,]*)')


def split(record: str) -> list[str | None]:
    """The fields of one record: an empty one is None, an empty one in quotes is the empty string.

    (Python's csv module, which cannot tell these two apart, is of no use here.)
    """
    if '"' not in record:
        return [text or None for text in record.split(',')]
    fields: list[str | None] = []
    at = 0
    while True:
        match = FIELD.match(record, at)
        if match is None:
            raise ValueError(f'not CSV: {record[at : at + 80]!r}')
        quoted, plain = match.groups()
        fields.append((plain or None) if quoted is None else quoted.replace('""', '"'))
        at = match.end() + 1
        if match.end() == len(record):
            return fields
        if record[match.end()] != ',':
            raise ValueError(f'text after a closing quote: {record[:80]!r}')


def records(path: Path) -> Iterator[tuple[int, list[str | None]]]:
    """(line on which it starts, fields) of every record of a file, the header among them; blank lines are none."""
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == '.gz' else content).decode('utf-8-sig')
    lines = enumerate(text.split('\n'), start=1)
    for number, line in lines:
        record = line
        while record.count('"') % 2:  # a line feed inside quotes: the record goes on
            following = next(lines, None)
            if following is None:
                raise ValueError(f'{path.name}: the quote in line {number} is never closed')
            record += '\n' + following[1]
        record = record.removesuffix('\r')
        if record:
            yield number, split(record)


def file_date(source: str, path: Path) -> date | None:
    """The date in the name `<source>_YYYYMMDD*.csv[.gz]`, or in that of an exported table; None for any other name."""
    kinds = '|'.join(map(re.escape, (source, *EXPORTED.get(source, ()))))
    match = re.match(rf'(?:{kinds})_([0-9]{{4}})([0-9]{{2}})([0-9]{{2}})', path.name)
    try:
        return date(*map(int, match.groups())) if match else None
    except ValueError:
        return None


def counting(source: str, paths: list[Path]) -> list[Path]:
    """The files but those in whose place a newer table of their day stands."""
    kinds = EXPORTED.get(source, ())
    kind = {path: next((each for each in kinds if re.match(rf'{each}_[0-9]', path.name)), None) for path in paths}
    day = {path: file_date(source, path) for path in paths}
    whole = {(day[path], each) for path, each in kind.items() if each in WHOLE}

    def is_superseded(path: Path) -> bool:
        of = kind[path]
        return of is not None and any((day[path], newer) in whole for newer in kinds[kinds.index(of) + 1 :])

    return [path for path in paths if not is_superseded(path)]


def covered(source: str, dated: date, zone: ZoneInfo) -> tuple[date, date]:
    """The first and the last local day of the day in a file's name, late rows aside."""
    midnight = datetime(dated.year, dated.month, dated.day, tzinfo=FILE_ZONE.get(source, zone))
    last_instant = midnight.replace(hour=23, minute=59, second=59, microsecond=999999)
    early = timedelta(days=EARLY_DAYS.get(source, 0))
    return midnight.astimezone(zone).date(), last_instant.astimezone(zone).date() + early


def files_of(landing: Path, source: str, zone: ZoneInfo) -> list[Path]:
    """The files of a source in the order of delivery: by date, then name.

    A file without a date comes where its modification time puts it: after the dated files of that local day.
    """
    found = [landing / f'{source}.csv', landing / f'{source}.csv.gz', *(landing / source).glob('*.csv*')]
    paths = [path for path in found if path.is_file() and path.name.endswith(('.csv', '.csv.gz'))]
    paths = counting(source, paths)

    def delivery(path: Path) -> tuple[date, bool, float, str]:
        day = file_date(source, path)
        if day:
            return (day, False, 0.0, path.name)
        modified = path.stat().st_mtime
        return (datetime.fromtimestamp(modified, zone).date(), True, modified, path.name)

    return sorted(paths, key=delivery)


@dataclass(frozen=True)
class Row:
    """A record that could be typed, and where it stands."""

    file: str
    line: int
    file_date: date | None
    day: date | None
    values: dict[str, Any]
    undeclared: tuple[tuple[str, str], ...]
    """Columns the source does not declare, where they have a value."""

    def identity(self) -> tuple[Any, ...]:
        """What is equal for equal rows: all values as typed, and undeclared columns that have one."""
        return (*self.values.values(), self.undeclared)


def accepted_rows(landing: Path, source: str, zone: ZoneInfo, late_days: int, result: Expected) -> Iterator[Row]:
    """The rows of a source that count or repeat one that does, in the order of delivery; notes all others."""
    counts, paths = result.rows.setdefault(source, Counts()), files_of(landing, source, zone)
    whole = WHOLE_DAYS if source == 'gam_delivery' else None
    late = timedelta(days=max(late_days, (whole or 1) - 1))
    dates = {found for path in paths if (found := file_date(source, path))} if whole else set()

    def newest_word(day: date) -> date | None:
        return max((each for each in dates if timedelta() <= each - day < timedelta(days=whole or 0)), default=None)

    for path in paths:
        dated = file_date(source, path)
        span = covered(source, dated, zone) if dated else None
        lines = records(path)
        _, header = next(lines, (0, []))
        lacking = REQUIRED[source] - {name for name in header if name}
        if lacking:
            raise ValueError(f'{path.name}: no column {", ".join(sorted(lacking))}')
        names = [name or '' for name in header]
        for line, fields in lines:
            counts.read += 1
            try:
                if len(fields) != len(names):
                    raise BrokenRowError('wrong_field_count')
                record = dict(zip(names, fields, strict=True))
                values = typed(source, record, zone)
            except BrokenRowError as reason:
                counts.rejected += 1
                result.rejects[source, str(reason)] += 1
                result.rejected_records.append((source, path.name, line, str(reason)))
                continue
            instant = values.get(DAY_COLUMN.get(source, ''))
            day = instant.astimezone(zone).date() if instant else None
            if day and span and not span[0] - late <= day <= span[1]:
                counts.outside += 1
                continue
            if day and dated and (newest := newest_word(day)) and dated < newest:
                counts.read -= 1
                continue
            undeclared = tuple(
                (name, text) for name, text in sorted(record.items()) if name not in COLUMNS[source] and text is not None
            )
            yield Row(path.name, line, dated, day, values, undeclared)


# --- gold -------------------------------------------------------------------------------------------------------------


def articles_of(rows: Iterator[Row], counts: Counts) -> dict[str, dict[str, Any]]:
    """The latest version of each article: the one delivered last, also where it repeats an older one."""
    latest: dict[str, dict[str, Any]] = {}
    seen = set()
    for row in rows:
        if row.identity() in seen:
            counts.equal += 1
        else:
            counts.distinct += 1
            seen.add(row.identity())
        latest[row.values['content_id']] = row.values
    return latest


def ga4_of(rows: Iterator[Row], counts: Counts, lateness: Counter[int]) -> dict[tuple[date, str], dict[str, int]]:
    """Pageviews, sessions and engagements by (local day, content) over the distinct events."""
    pageviews: Counter[tuple[date, str]] = Counter()
    engagements: Counter[tuple[date, str]] = Counter()
    sessions: dict[tuple[date, str], set[tuple[str, str]]] = {}
    seen = set()
    for row in rows:
        if row.identity() in seen:
            counts.equal += 1
            continue
        counts.distinct += 1
        seen.add(row.identity())
        event = row.values
        assert row.day is not None
        if row.file_date:
            lateness[(row.file_date - row.day).days] += 1
        key = (row.day, event['content_id'] or NOT_SET)
        sessions_of_key = sessions.setdefault(key, set())
        pageviews[key] += event['event_name'] == 'page_view'
        engagements[key] += event['event_name'] == 'user_engagement'
        # GA4 numbers the sessions of each user on their own: without both, there is no session to count.
        if event['user_pseudo_id'] and event['session_id']:
            sessions_of_key.add((event['user_pseudo_id'], event['session_id']))
    return {
        key: {'pageviews': pageviews[key], 'sessions': len(sessions[key]), 'user_engagements': engagements[key]}
        for key in sessions
    }


def gam_of(
    rows: Iterator[Row], counts: Counts, lateness: Counter[int], result: Expected
) -> dict[tuple[date, str], dict[str, Any]]:
    """Impressions, clicks and revenue by (local day, content) over the version of each delivery that counts."""
    versions: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    counting: dict[tuple[Any, ...], Row] = {}
    gold: dict[tuple[date, str], dict[str, Any]] = defaultdict(
        lambda: {'impressions': 0, 'clicks': 0, 'revenue_usd': Decimal(0)}
    )
    for row in rows:
        key = row.identity() if WHOLE_DAYS else tuple(row.values[column] for column in GAM_KEY)
        numbers: dict[str, Any] = {column: row.values[column] for column in GAM_NUMBERS}
        numbers['undeclared'] = row.undeclared
        known = versions.setdefault(key, [])
        if key not in counting or (NEWEST_COUNTS and counting[key].file != row.file):
            counting[key] = row
        if numbers in known:
            counts.equal += 1
        elif known:
            counts.conflicting += 1
            known.append(numbers)
            first = {f'first_{column}': value for column, value in known[0].items()}
            place = {'file': row.file, 'line': row.line}
            result.conflicts.append(dict(zip(GAM_KEY, key, strict=True)) | numbers | first | place)
            result.money_in_conflicts += row.values['revenue_usd']
        else:
            counts.distinct += 1
            known.append(numbers)
            assert row.day is not None
            if row.file_date:
                lateness[(row.file_date - row.day).days] += 1
    for row in counting.values():
        assert row.day is not None
        sums = gold[row.day, row.values['content_id'] or NOT_SET]
        for column in ('impressions', 'clicks', 'revenue_usd'):
            sums[column] += row.values[column]
    return dict(gold)


def ratio(numerator: Decimal | int, denominator: int) -> Decimal | None:
    """The quotient with 6 decimals, half away from zero as PostgreSQL's numeric rounds; None over nothing."""
    if denominator == 0:
        return None
    exact = Fraction(numerator) / denominator * 10**6
    whole = int(abs(exact) + Fraction(1, 2))
    return Decimal((int(exact < 0 and whole > 0), tuple(map(int, str(whole))), -6))


def joined(
    ga4: dict[tuple[date, str], dict[str, int]],
    gam: dict[tuple[date, str], dict[str, Any]],
    articles: dict[str, dict[str, Any]],
) -> list[dict[str, Any]]:
    """Both marts side by side, nothing lost on either side, with what the CMS knows of the content."""
    nothing_read = {'pageviews': 0, 'sessions': 0, 'user_engagements': 0}
    nothing_served = {'impressions': 0, 'clicks': 0, 'revenue_usd': Decimal(0)}
    rows = []
    for day, content_id in sorted(ga4.keys() | gam.keys()):
        article = articles.get(content_id, {})
        row: dict[str, Any] = {'date': day, 'content_id': content_id}
        for column in ('site', 'title', 'author', 'section'):
            row[column] = article.get(column) or NOT_SET
        row['publish_timestamp'] = article.get('publish_timestamp')
        row |= ga4.get((day, content_id), nothing_read)
        row |= gam.get((day, content_id), nothing_served)
        row['page_rpm_usd'] = ratio(row['revenue_usd'] * 1000, row['pageviews'])
        row['ecpm_usd'] = ratio(row['revenue_usd'] * 1000, row['impressions'])
        row['ctr'] = ratio(row['clicks'], row['impressions'])
        rows.append(row)
    return rows


def keyed(gold: dict[tuple[date, str], dict[str, Any]], day_column: str) -> list[dict[str, Any]]:
    """A mart as a list of rows ordered by key."""
    return [{day_column: day, 'content_id': content_id} | gold[day, content_id] for day, content_id in sorted(gold)]


def expected(landing: Path, timezone: str = 'Asia/Jakarta', late_days: int = 3) -> Expected:
    """Gold after loading every day of every file under `landing`."""
    zone = ZoneInfo(timezone)
    result = Expected(lateness={'ga4_events': Counter(), 'gam_delivery': Counter()})

    def rows(source: str) -> Iterator[Row]:
        return accepted_rows(landing, source, zone, late_days, result)

    # Sums of money are exact: no amount of 30 digits may be rounded to decimal's usual 28.
    with localcontext() as context:
        context.prec = 100
        for source in COLUMNS:
            result.rows[source] = Counts()
        articles = articles_of(rows('cms_articles'), result.rows['cms_articles'])
        ga4 = ga4_of(rows('ga4_events'), result.rows['ga4_events'], result.lateness['ga4_events'])
        gam = gam_of(rows('gam_delivery'), result.rows['gam_delivery'], result.lateness['gam_delivery'], result)
        result.articles = [articles[content_id] for content_id in sorted(articles)]
        result.ga4_daily_summary = keyed(ga4, 'event_date')
        result.gam_daily_summary = keyed(gam, 'served_date')
        result.daily_summary = joined(ga4, gam, articles)
    return result
