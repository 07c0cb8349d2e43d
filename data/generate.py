"""Write the sample landing zone: October 2025 of a publisher with four sites, the same bytes every time.

    python data/generate.py            write the files beside this script
    python data/generate.py --check    exit with 1 if the files differ from what would be written
    python data/generate.py --out DIR  another folder

`generate_google.py` beside it writes the same month as Google and a CMS would.

The data is invented. It holds on purpose what real deliveries hold: equal rows, late rows, restated ad rows, broken
rows and the like; every such row is counted while it is written, and the counts go to `planted.json`.

Only `Random.random()` and integer arithmetic decide anything, because those give the same result on every platform
and Python version. Local time is Asia/Jakarta, UTC+7 all year.

The script is longer than 350 lines because it stands alone on purpose: it needs Python and nothing of the project that
it tests, and whoever doubts a figure of the sample reads one file.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import random
import re
import sys
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import TypeVar

T = TypeVar('T')
Fields = list[str | None]

FIRST_DAY = date(2025, 10, 1)
LAST_DAY = date(2025, 10, 31)
DAYS = [FIRST_DAY + timedelta(days=n) for n in range((LAST_DAY - FIRST_DAY).days + 1)]
UTC_OFFSET = timedelta(hours=7)
EPOCH = datetime(1970, 1, 1)
MAX_LAG = 3

COLUMNS = {
    'cms_articles': ['content_id', 'site', 'title', 'author', 'section', 'publish_timestamp'],
    'ga4_events': [
        'event_timestamp',
        'event_name',
        'user_pseudo_id',
        'session_id',
        'content_id',
        'site',
        'page_location',
        'device_category',
        'country',
        'traffic_source',
    ],
    'gam_delivery': [
        'served_at',
        'site',
        'ad_unit',
        'line_item',
        'creative',
        'content_id',
        'impressions',
        'clicks',
        'revenue_usd',
    ],
}

# Most GA4 files are compressed; these days stay plain, so that both kinds are read.
PLAIN_GA4_DAYS = {date(2025, 10, 1), date(2025, 10, 12), date(2025, 10, 31)}
REORDERED_GA4_DAY = date(2025, 10, 12)
EXTRA_COLUMN_GA4_DAY = date(2025, 10, 20)
EXTRA_COLUMN = 'app_version'

SITES = {
    'kabarnusa.example': ['nasional', 'ekonomi', 'dunia', 'daerah'],
    'bolanusa.example': ['liga', 'timnas', 'bulu-tangkis', 'moto'],
    'gayanusa.example': ['selebriti', 'resep', 'kesehatan', 'wisata'],
    'teknonusa.example': ['gadget', 'startup', 'ai', 'gaming'],
}
AUTHORS = [
    'Ayu Prameswari',
    'Bagas Wicaksono',
    'Citra Maharani',
    'Dimas Nugroho',
    'Eka Saraswati',
    'Fajar Kurniawan',
    'Gita Lestari',
    'Hendra Saputra',
    'Indah Permata',
    'Joko Santosa',
    'Kartika Dewi',
    'Lukman Hakim',
    'Maya Anggraini',
    'Nanda "Nando" Pratama',
    'Rizky Ramadhan, Sekar Ayu',
]
PLACES = [
    'Jakarta',
    'Bandung',
    'Surabaya',
    'Medan',
    'Makassar',
    'Yogyakarta',
    'Semarang',
    'Denpasar',
    'Palembang',
    'Balikpapan',
    'Manado',
    'Pontianak',
]
HEADLINES = {
    'kabarnusa.example': [
        'Harga Beras di {place} Naik {n} Persen, Ini Kata Pedagang',
        'Banjir Rendam {n} Kelurahan di {place}, Warga Mengungsi',
        '"Kami Tidak Diam," Kata Wali Kota {place} soal Jalan Rusak',
        'Jadwal dan Rute Baru Bus Kota {place} Mulai Pekan Ini',
        '{n} Fakta Proyek Kereta Cepat Menuju {place}',
        'Rupiah Menguat, Ekonom: Efeknya ke {place} Baru Terasa {n} Bulan Lagi',
        'UMKM {place} Tembus Ekspor, Nilainya Rp{n} Miliar',
        'Explainer: Why {place} Is Moving {n} Government Offices',
    ],
    'bolanusa.example': [
        'Hasil Liga: Tuan Rumah {place} Menang Setelah Tertinggal {n} Menit',
        '"Belum Selesai", Pelatih {place} FC Pasang Target {n} Poin',
        'Jadwal Siaran Langsung Timnas di {place}, Catat {n} Laga Ini',
        'Rekap Bulu Tangkis {place} Open: {n} Wakil Lolos ke Semifinal',
        'Prediksi Moto: Sirkuit {place}, {n} Lap, Cuaca Panas',
        'Transfer Window: {place} FC Sign a Striker on a {n}-Month Deal',
        '{n} Pemain Muda dari {place} yang Layak Ditunggu',
        'Klasemen Terbaru, {place} FC Naik ke Posisi {n}',
    ],
    'gayanusa.example': [
        'Resep Soto Khas {place}, Siap dalam {n} Menit',
        '{n} Tempat Wisata Murah di {place} untuk Akhir Pekan',
        'Tren "Slow Living" di {place}, Benarkah Lebih Sehat?',
        'Dokter di {place} Jelaskan {n} Tanda Kurang Tidur',
        'Potret Pernikahan Adat {place}, Digelar {n} Hari',
        '{n} Ide Bekal Sekolah, Hemat dan Bergizi, dari Ibu-Ibu {place}',
        'Weekend in {place}: {n} Cafés Worth the Queue',
        'Rahasia Kulit Sehat ala Penari {place}, {n} Langkah Saja',
    ],
    'teknonusa.example': [
        'Review: {n} Hari Memakai Ponsel Lipat Buatan {place}',
        'Startup {place} Raih Pendanaan {n} Juta Dolar',
        '{n} Prompt AI untuk Guru, Diuji di Sekolah {place}',
        'How a {place} Team Built a "Tiny" Language Model in {n} Weeks',
        'Turnamen Gim di {place} Sediakan Hadiah Rp{n} Miliar',
        'Internet {place} Lambat? Coba {n} Cara Ini',
        'Harga Laptop Gaming Terbaru, Mulai Rp{n} Jutaan di {place}',
        'Data Center Baru di {place} Pakai {n} Persen Energi Surya',
    ],
}

HOUR_WEIGHTS = [3, 2, 1, 1, 2, 4, 7, 9, 9, 8, 8, 9, 11, 9, 8, 8, 8, 8, 9, 12, 13, 11, 8, 5]
WEEKDAY_WEIGHTS = [100, 98, 99, 102, 104, 88, 92]
DEVICES = [('mobile', 78), ('desktop', 18), ('tablet', 4)]
COUNTRIES = [
    ('Indonesia', 912),
    ('Malaysia', 28),
    ('Singapore', 20),
    ('Hong Kong', 8),
    ('United States', 14),
    (None, 18),
]
TRAFFIC_SOURCES = [
    ('google', 420),
    ('(direct)', 260),
    ('facebook', 90),
    ('whatsapp', 80),
    ('x.com', 40),
    ('newsletter', 35),
    ('dailyhunt', 25),
    ('(data deleted)', 20),
    (None, 30),
]
AD_SLOTS = [('article_top', 5), ('article_mid', 4), ('article_bottom', 2), ('sidebar', 2), ('video_preroll', 1)]
UNKNOWN_CONTENT = ['7700101', '7700102', '7700205', '7700317', 'amp-7700101', 'draft-318']

SESSIONS_PER_DAY = 275
AD_ROWS_PER_DAY = 264


class Dice:
    """Random choices that are the same on every platform: built on `Random.random()` and integers alone."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def below(self, limit: int) -> int:
        """A whole number from 0 to limit - 1."""
        return int(self._random.random() * limit)

    def between(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + self.below(high - low + 1)

    def chance(self, per_mille: int) -> bool:
        """True in `per_mille` of 1,000 cases."""
        return self.below(1000) < per_mille

    def pick(self, items: Sequence[T]) -> T:
        """One of the items, all equally likely."""
        return items[self.below(len(items))]

    def weighted(self, items: Sequence[tuple[T, int]]) -> T:
        """One of the (item, weight) pairs' items."""
        return items[self.index([weight for _, weight in items])][0]

    def index(self, weights: Sequence[int]) -> int:
        """An index, as likely as its weight."""
        return self.index_cumulative(list(accumulate(weights)))

    def index_cumulative(self, cumulative: Sequence[int]) -> int:
        """As `index`, for weights already summed up."""
        return bisect_right(cumulative, self.below(cumulative[-1]))

    def some(self, items: Sequence[T], count: int) -> list[T]:
        """`count` different items, in random order."""
        left = list(items)
        return [left.pop(self.below(len(left))) for _ in range(count)]


def spell(at: datetime, style: str) -> str:
    """The instant `at` (local, naive) as text: 'Z' in UTC, '+07:00' with offset, 'local' without one."""
    shown = at - UTC_OFFSET if style == 'Z' else at
    text = shown.isoformat(
        sep=' ' if style == 'local' else 'T', timespec='microseconds' if at.microsecond else 'seconds'
    )
    return text if style == 'local' else text + style


def spell_money(micros: int) -> str:
    """A whole number of millionths of a dollar as decimal text, without needless zeros."""
    sign, size = ('-', -micros) if micros < 0 else ('', micros)
    return f'{sign}{size // 10**6}.{size % 10**6:06d}'.rstrip('0').rstrip('.')


def csv_field(value: str | None, sign: str = ',') -> str:
    """One CSV field: nothing for NULL, two quotes for the empty string, quoted where needed."""
    if value is None:
        return ''
    if value == '' or any(mark in value for mark in f'{sign}"\r\n'):
        return '"' + value.replace('"', '""') + '"'
    return value


@dataclass
class Landing:
    """The lines of every file, and the count of all that was planted."""

    lines: dict[tuple[str, date], list[tuple[datetime, int, list[str | None]]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    planted: dict[str, Counter[str]] = field(default_factory=lambda: {source: Counter() for source in COLUMNS})
    written: int = 0

    def put(self, source: str, file_day: date, position: datetime, fields: list[str | None]) -> None:
        """Add a line to the file of `file_day`; lines stand in the order of `position`, then of these calls."""
        if not FIRST_DAY <= file_day <= LAST_DAY:
            raise ValueError(f'no file for {file_day}')
        self.written += 1
        self.planted[source]['rows'] += 1
        self.lines[source, file_day].append((position, self.written, fields))

    def count(self, source: str, what: str, number: int = 1) -> None:
        """Note that something was planted on purpose."""
        self.planted[source][what] += number

    def reject(self, source: str, file_day: date, position: datetime, fields: list[str | None], reason: str) -> None:
        """Add a broken line."""
        self.put(source, file_day, position, fields)
        self.count(source, f'rejects.{reason}')

    def render(self) -> dict[str, bytes]:
        """Every CSV file by its path, not compressed."""
        files = {}
        for (source, day), lines in sorted(self.lines.items()):
            columns = COLUMNS[source]
            order = list(range(len(columns)))
            header = list(columns)
            extra: list[str | None] = []
            if source == 'ga4_events' and day == REORDERED_GA4_DAY:
                order.reverse()
                header.reverse()
            if source == 'ga4_events' and day == EXTRA_COLUMN_GA4_DAY:
                header.append(EXTRA_COLUMN)
                extra = [None]
            rows = [','.join(header)]
            for _, _, fields in sorted(lines, key=lambda line: line[:2]):
                is_whole = len(fields) == len(columns)
                shown = [fields[at] for at in order] + extra if is_whole else fields
                rows.append(','.join(csv_field(value) for value in shown))
            suffix = '.csv.gz' if source == 'ga4_events' and day not in PLAIN_GA4_DAYS else '.csv'
            files[f'{source}/{source}_{day:%Y%m%d}{suffix}'] = ('\n'.join(rows) + '\n').encode()
        return files


def moment(text: str | None) -> datetime | None:
    """The local time that a line of generate.py spells; None if it spells none."""
    try:
        at = datetime.fromisoformat(text or '')
    except ValueError:
        return None
    offset = at.utcoffset()
    return at.replace(tzinfo=None) if offset is None else at.replace(tzinfo=None) - offset + UTC_OFFSET


def records(landing: Landing, source: str) -> Iterator[tuple[date, Fields]]:
    """All lines of a source in the order of delivery, with the day of their file."""
    for (name, day), lines in sorted(landing.lines.items()):
        if name == source:
            for _, _, fields in sorted(lines, key=lambda line: line[:2]):
                yield day, fields


# --- articles ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Article:
    """One version of an article; `published` is local, None for the one that has no publish time."""

    content_id: str
    site: str
    title: str
    author: str | None
    section: str
    published: datetime | None

    def fields(self, style: str) -> list[str | None]:
        published = spell(self.published, style) if self.published else None
        return [self.content_id, self.site, self.title, self.author, self.section, published]


def make_articles(dice: Dice) -> list[Article]:
    """The first version of 300 articles: 180 of the months before October, 120 of October."""
    moments = []
    for _ in range(180):
        day = date(2025, 3, 1) + timedelta(days=dice.below(214))
        moments.append(datetime(day.year, day.month, day.day, dice.between(5, 21), dice.below(60), dice.below(60)))
    for n in range(120):
        day = DAYS[n * len(DAYS) // 120]
        moments.append(datetime(day.year, day.month, day.day, dice.between(0, 20), dice.below(60), dice.below(60)))
    articles = []
    titles: set[str] = set()
    sites = list(SITES)
    content_id = 5400000
    for moment in sorted(moments):
        content_id += dice.between(17, 900)
        site = dice.pick(sites)
        title = ''
        while not title or title in titles:
            title = dice.pick(HEADLINES[site]).format(place=dice.pick(PLACES), n=dice.between(2, 19))
        titles.add(title)
        author = None if dice.chance(30) else dice.pick(AUTHORS)
        articles.append(Article(str(content_id), site, title, author, dice.pick(SITES[site]), moment))
    # Ids are text: a reader that takes them for numbers loses these zeros.
    for at in (20, 90, 200, 260):
        articles[at] = replace(articles[at], content_id=f'0{articles[at].content_id}')
    # NULL and the empty string both show as "(not set)".
    articles[33] = replace(articles[33], author='')
    articles[34] = replace(articles[34], author=None)
    articles[215] = replace(articles[215], published=None)
    return articles


def day_start(day: date) -> datetime:
    """Midnight of a day."""
    return datetime(day.year, day.month, day.day)


def deliver_articles(landing: Landing, dice: Dice, articles: list[Article], born: dict[str, datetime]) -> None:
    """Write the CMS files: the whole archive on 1 October, then what is new or edited each day."""
    source = 'cms_articles'
    style_of: dict[str, str] = {}
    delivered: dict[str, date] = {}

    def put(file_day: date, article: Article, hour: int) -> None:
        style = style_of.setdefault(article.content_id, dice.weighted([('+07:00', 5), ('Z', 3), ('local', 2)]))
        landing.put(source, file_day, day_start(file_day) + timedelta(hours=hour), article.fields(style))

    late = {articles[at].content_id: lag for at, lag in ((210, 2), (232, 1), (251, 3))}
    for article in articles:
        day = max(born[article.content_id].date(), FIRST_DAY)
        day += timedelta(days=late.get(article.content_id, 0))
        put(day, article, 0)
        delivered[article.content_id] = day
        if late.get(article.content_id):
            landing.count(source, 'articles_after_their_first_event')
        if article.published is None:
            landing.count(source, 'articles_without_publish_timestamp')
        elif article.published.date() < FIRST_DAY:
            landing.count(source, 'articles_published_before_october')
    landing.count(source, 'articles', len(articles))
    landing.count(source, 'content_ids_with_leading_zero', sum(a.content_id.startswith('0') for a in articles))

    def later(article: Article, days: int) -> date:
        return delivered[article.content_id] + timedelta(days=days)

    # Edited once: title, and now and then author or section.
    edited = [articles[at] for at in (5, 41, 77, 120, 150, 171, 185, 199, 205, 221, 229, 240, 255, 262)]
    for article in edited:
        version = replace(article, title='UPDATE: ' + article.title)
        if dice.chance(300):
            version = replace(version, author=dice.pick(AUTHORS))
        put(later(article, dice.between(1, 6)), version, 12)
        landing.count(source, 'articles_edited_once')
    # Edited twice.
    put(later(articles[190], 2), replace(articles[190], title=articles[190].title + ' (Lengkap)'), 12)
    put(later(articles[190], 5), replace(articles[190], title=articles[190].title + ', Ini Faktanya'), 12)
    landing.count(source, 'articles_edited_twice')
    # Edited and taken back: the third delivery equals the first one, and is the latest version all the same.
    put(later(articles[195], 3), replace(articles[195], title='BREAKING: ' + articles[195].title), 12)
    put(later(articles[195], 4), articles[195], 12)
    landing.count(source, 'articles_edited_and_taken_back')
    landing.count(source, 'edits', len(edited) + 2 + 1)
    landing.count(source, 'equal_rows.later_file')
    # The same row again, in the same file and in a later one.
    for at in (8, 225):
        put(delivered[articles[at].content_id], articles[at], 20)
        landing.count(source, 'equal_rows.same_file')
    for at in (12, 60, 61, 100, 133, 160, 194, 207, 219, 234):
        put(later(articles[at], dice.between(1, 5)), articles[at], 20)
        landing.count(source, 'equal_rows.later_file')

    def broken(day: int, fields: list[str | None], reason: str) -> None:
        file_day = date(2025, 10, day)
        landing.reject(source, file_day, day_start(file_day) + timedelta(hours=15), fields, reason)

    broken(
        6, [None, 'kabarnusa.example', 'Draf Tanpa Nomor', None, 'nasional', '2025-10-06T09:00:00Z'], 'missing_required'
    )
    broken(14, ['7790001', 'gayanusa.example', 'Tanggal Salah', AUTHORS[0], 'resep', '14 Okt 2025'], 'bad_timestamp')
    broken(23, ['7790002', 'bolanusa.example', 'Baris Terpotong'], 'wrong_field_count')


# --- events -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Event:
    """One GA4 event; `at` is local. None is no value, which is not the empty string."""

    at: datetime
    name: str
    user: str | None
    session: str | None
    content_id: str | None
    site: str
    page: str | None
    device: str
    country: str | None
    traffic_source: str | None

    def fields(self, style: str) -> list[str | None]:
        return [
            spell(self.at, style),
            self.name,
            self.user,
            self.session,
            self.content_id,
            self.site,
            self.page,
            self.device,
            self.country,
            self.traffic_source,
        ]


@dataclass(frozen=True)
class Page:
    """What a visitor can open: an article, a page of an article the CMS does not know, or a page without content."""

    content_id: str | None
    site: str
    location: str
    since: datetime


class Newsstand:
    """The pages of each day, a few of them very popular (Zipf), fresh articles first."""

    def __init__(self, dice: Dice, articles: Sequence[Article], born: dict[str, datetime]) -> None:
        self._dice = dice
        self._pages: list[Page] = []
        self._appeal: list[int] = []
        ranks = dice.some(range(1, len(articles) + 1), len(articles))
        for article, rank in zip(articles, ranks, strict=True):
            slug = '-'.join(re.findall('[a-z0-9]+', article.title.lower())[:5])
            location = f'https://www.{article.site}/{article.section}/read/{article.content_id}/{slug}'
            self._pages.append(Page(article.content_id, article.site, location, born[article.content_id]))
            self._appeal.append(10**6 // rank)
        sites = list(SITES)
        for at, content_id in enumerate(UNKNOWN_CONTENT):
            site = sites[at % len(sites)]
            location = f'https://www.{site}/read/{content_id}'
            self._pages.append(Page(content_id, site, location, datetime(2025, 9, 1)))
            self._appeal.append(10**6 // 40)
        self._homes = [Page(None, site, f'https://www.{site}/', datetime(2025, 1, 1)) for site in sites]
        self._homes += [
            Page(None, site, f'https://www.{site}/{sections[0]}', datetime(2025, 1, 1))
            for site, sections in SITES.items()
        ]
        self._cumulative: dict[date, list[int]] = {}

    def _weights(self, day: date) -> list[int]:
        """An article draws most on its first days, and keeps a small part of its appeal for good."""
        if day not in self._cumulative:
            weights = []
            for page, appeal in zip(self._pages, self._appeal, strict=True):
                age = (day - page.since.date()).days
                freshness = 0 if age < 0 else max(3, 120 // (1 + age))
                weights.append(appeal * (2 if page.content_id in UNKNOWN_CONTENT else freshness))
            self._cumulative[day] = list(accumulate(weights))
        return self._cumulative[day]

    def home(self) -> Page:
        """A page without content: a home or section page."""
        return self._dice.pick(self._homes)

    def open(self, at: datetime) -> Page:
        """A page somebody opens at that moment."""
        if self._dice.chance(90):
            return self.home()
        for _ in range(8):
            page = self._pages[self._dice.index_cumulative(self._weights(at.date()))]
            if page.since <= at:
                return page
        return self.home()


class Visitors:
    """Users and their sessions. Session numbers are unique unless two users are made to share one on purpose."""

    def __init__(self, dice: Dice) -> None:
        self._dice = dice
        self._users: list[str] = []
        self._sessions: set[int] = set()

    def user(self, at: datetime) -> tuple[str, bool]:
        """A GA4 client id, and whether this is its first visit."""
        if self._users and self._dice.chance(450):
            return self._dice.pick(self._users), False
        first_visit = int((at - UTC_OFFSET - EPOCH).total_seconds())
        is_new = self._dice.chance(350)
        if not is_new:
            first_visit -= self._dice.between(86_400, 86_400 * 500)
        user = f'{self._dice.between(10**8, 2 * 10**9)}.{first_visit}'
        self._users.append(user)
        return user, is_new

    def session(self, at: datetime) -> str:
        """A GA4 session number: the second the session started, as text."""
        number = int((at - UTC_OFFSET - EPOCH).total_seconds())
        while number in self._sessions:
            number += 1
        self._sessions.add(number)
        return str(number)


def moment_of(dice: Dice, day: date) -> datetime:
    """A moment of the day, following the daily rhythm."""
    seconds = dice.index(HOUR_WEIGHTS) * 3600 + dice.below(3600)
    return day_start(day) + timedelta(seconds=seconds, microseconds=dice.below(10**6))


def visit(dice: Dice, stand: Newsstand, at: datetime, user: str, session: str, is_new: bool) -> list[Event]:
    """The events of one session."""
    device, country, source = dice.weighted(DEVICES), dice.weighted(COUNTRIES), dice.weighted(TRAFFIC_SOURCES)
    events: list[Event] = []

    def note(name: str, page: Page, wait_seconds: int) -> None:
        nonlocal at
        at += timedelta(seconds=wait_seconds, microseconds=dice.between(1, 999_999))
        events.append(
            Event(at, name, user, session, page.content_id, page.site, page.location, device, country, source)
        )

    page = stand.open(at)
    if is_new:
        note('first_visit', page, 0)
    note('session_start', page, 0)
    while True:
        note('page_view', page, 0)
        if dice.chance(700):
            note('user_engagement', page, dice.between(5, 60))
        if dice.chance(550):
            note('scroll', page, dice.between(3, 90))
        if dice.chance(90):
            note('click', page, dice.between(2, 40))
        if dice.chance(250):
            note('user_engagement', page, dice.between(10, 120))
        if not dice.chance(450):
            return events
        at += timedelta(seconds=dice.between(1, 20))
        page = stand.open(at)


def make_events(landing: Landing, dice: Dice, stand: Newsstand) -> list[Event]:
    """All different events of October, some without user, session or content, some sessions sharing a number."""
    source = 'ga4_events'
    visitors = Visitors(dice)
    events: list[Event] = []
    for day in DAYS:
        todays: list[list[Event]] = []
        for _ in range(SESSIONS_PER_DAY * WEEKDAY_WEIGHTS[day.weekday()] // 100):
            at = moment_of(dice, day)
            user, is_new = visitors.user(at)
            todays.append(visit(dice, stand, at, user, visitors.session(at), is_new))
        # Sessions over midnight, on the same page before and after.
        for _ in range(2 if day < LAST_DAY else 0):
            at = day_start(day) + timedelta(hours=23, minutes=dice.between(50, 58), microseconds=dice.below(10**6))
            user, _ = visitors.user(at)
            session = visit(dice, stand, at, user, visitors.session(at), False)
            last = session[-1]
            after = day_start(day + timedelta(days=1)) + timedelta(
                minutes=dice.below(9), microseconds=dice.below(10**6)
            )
            after = max(after, last.at + timedelta(seconds=30))
            todays.append([*session, replace(last, at=after, name='user_engagement')])
        # Two users with the same session number on the same page: two sessions, not one.
        for _ in range(2 if day.day % 2 else 0):
            twin = dice.pick([session for session in todays if session[0].content_id])
            other, _ = visitors.user(twin[0].at)
            pageview = next(event for event in twin if event.name == 'page_view')
            lag = timedelta(seconds=dice.between(1, 30), microseconds=dice.below(10**6))
            todays.append([replace(event, at=event.at + lag, user=other) for event in (twin[0], pageview)])
        for session in todays:
            events += strip_identity(dice, session)
    events = [event for event in events if event.at.date() <= LAST_DAY]
    # An empty string in place of no value makes another row, though both mean "none".
    without = [event for event in events if event.session is None and event.name == 'page_view']
    for event in dice.some(without, 4):
        events.append(replace(event, session=''))
        landing.count(source, 'rows_differing_only_by_empty_string')
    for event in dice.some([event for event in events if event.content_id is None and event.session], 3):
        events.append(replace(event, content_id=''))
        landing.count(source, 'rows_differing_only_by_empty_string')
    events.sort(key=lambda event: event.at)
    if len(set(events)) != len(events):
        raise AssertionError('events repeat by accident; the planted counts would be wrong')
    return events


def strip_identity(dice: Dice, session: list[Event]) -> list[Event]:
    """Take user, session or both from some sessions (consent denied, server events) and content from some events."""
    roll = dice.below(1000)
    if roll < 12:
        session = [replace(event, user=None, session=None) for event in session]
    elif roll < 22:
        session = [replace(event, session=None) for event in session]
    elif roll < 30:
        session = [replace(event, user=None) for event in session]
    return [replace(event, content_id=None) if dice.chance(6) else event for event in session]


def ga4_style(dice: Dice) -> str:
    """How a GA4 row spells its instant."""
    return dice.weighted([('Z', 80), ('+07:00', 12), ('local', 8)])


def deliver_events(landing: Landing, dice: Dice, events: list[Event]) -> None:
    """Write the GA4 files: each event once in time or late, some again, and the broken ones."""
    source = 'ga4_events'
    for event in events:
        day = event.at.date()
        room = min(MAX_LAG, (LAST_DAY - day).days)
        lag = 1 + dice.index([6, 3, 2][:room]) if room and dice.chance(14) else 0
        style = ga4_style(dice)
        file_day = day + timedelta(days=lag)
        position = moment_of(dice, file_day) if lag else event.at
        landing.put(source, file_day, position, event.fields(style))
        landing.count(source, f'timestamps.{style}')
        if lag:
            landing.count(source, f'late_rows.{lag}_days')
        if dice.chance(9):
            respelled = 'Z' if style != 'Z' else dice.pick(['+07:00', 'local'])
            is_respelled = dice.chance(250)
            landing.put(source, file_day, position, event.fields(respelled if is_respelled else style))
            landing.count(source, 'equal_rows.same_file')
            landing.count(source, 'equal_rows_spelled_otherwise', is_respelled)
        if lag < room and dice.chance(7):
            again = day + timedelta(days=dice.between(lag + 1, room))
            landing.put(source, again, moment_of(dice, again), event.fields(style))
            landing.count(source, 'equal_rows.later_file')

    pageviews = [event for event in events if event.name == 'page_view' and event.content_id and event.user]

    def broken(day: int, changes: dict[str, str | None], reason: str, fields_kept: int | None = None) -> None:
        file_day = date(2025, 10, day)
        model = dice.pick([event for event in pageviews if event.at.date() == file_day])
        fields = dict(zip(COLUMNS[source], model.fields('Z'), strict=True)) | changes
        landing.reject(source, file_day, model.at, list(fields.values())[:fields_kept], reason)

    broken(3, {'event_timestamp': '2025-10-03 25:61:00'}, 'bad_timestamp')
    broken(7, {'event_timestamp': '07/10/2025 08:15'}, 'bad_timestamp')
    broken(18, {'event_timestamp': 'yesterday'}, 'bad_timestamp')
    broken(26, {'event_timestamp': '2025-02-30T10:00:00Z'}, 'bad_timestamp')
    broken(5, {'event_name': None}, 'missing_required')
    broken(21, {'event_name': ''}, 'missing_required')
    broken(28, {'event_timestamp': None}, 'missing_required')
    broken(9, {}, 'wrong_field_count', fields_kept=6)
    broken(25, {'surplus': 'lcp=1200'}, 'wrong_field_count')


# --- ads --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AdRow:
    """One row of ad delivery: an hour of one creative in one slot; revenue in millionths of a dollar."""

    at: datetime
    site: str
    ad_unit: str
    line_item: str | None
    creative: str | None
    content_id: str | None
    impressions: int
    clicks: int
    micros: int

    @property
    def key(self) -> tuple[object, ...]:
        """What makes two rows the same delivery."""
        return (self.at, self.ad_unit, self.line_item, self.creative, self.content_id)

    def fields(self, style: str) -> list[str | None]:
        return [
            spell(self.at, style),
            self.site,
            self.ad_unit,
            self.line_item,
            self.creative,
            self.content_id,
            str(self.impressions),
            str(self.clicks),
            spell_money(self.micros),
        ]


def gam_style(dice: Dice) -> str:
    """How a GAM row spells its instant."""
    return dice.weighted([('+07:00', 55), ('Z', 30), ('local', 15)])


def ad_unit_of(dice: Dice, site: str) -> str:
    """The path of an ad slot on a site."""
    return f'/21890000/{site.split(".")[0]}/{dice.weighted(AD_SLOTS)}'


def make_ads(
    landing: Landing, dice: Dice, events: list[Event], articles: list[Article], ad_free: set[str], unread: list[Article]
) -> list[AdRow]:
    """All different deliveries of October, the first version of each."""
    source = 'gam_delivery'
    line_items = [f'{kind}_{number}' for kind in ('direct', 'programmatic', 'pmp') for number in range(4101, 4111)]
    site_of = {article.content_id: article.site for article in articles}
    views: dict[date, list[Event]] = defaultdict(list)
    for event in events:
        if event.name == 'page_view':
            views[event.at.date()].append(event)
    rows: list[AdRow] = []
    keys: set[tuple[object, ...]] = set()

    def deliver(day: date, content_id: str | None, site: str, hour: int) -> None:
        line_item = None if dice.chance(25) else dice.pick(line_items)
        creative = None if line_item is None else f'cr_{line_item.split("_")[1]}_{dice.pick(["a", "b", "c"])}'
        impressions = dice.between(1, 60) + (dice.between(50, 900) if dice.chance(150) else 0)
        clicks = sum(dice.chance(7) for _ in range(min(impressions, 120)))
        cpm_micros = dice.between(180_000, 2_400_000)
        micros = 0 if line_item is None else impressions * cpm_micros // 1000
        row = AdRow(
            day_start(day) + timedelta(hours=hour),
            site,
            ad_unit_of(dice, site),
            line_item,
            creative,
            content_id,
            impressions,
            clicks,
            micros,
        )
        if row.key not in keys:
            keys.add(row.key)
            rows.append(row)

    for day in DAYS:
        for _ in range(AD_ROWS_PER_DAY * WEEKDAY_WEIGHTS[day.weekday()] // 100):
            view = dice.pick(views[day])
            if view.content_id in ad_free:
                continue
            content_id = None if dice.chance(50) else view.content_id
            deliver(day, content_id, view.site, view.at.hour)
        # Ads on articles that have no reader at all in October, and on articles without a reader on that day.
        for article in dice.some(unread, 2):
            deliver(day, article.content_id, site_of[article.content_id], dice.index(HOUR_WEIGHTS))
        seen_today = {view.content_id for view in views[day]}
        quiet = [a for a in articles[:180] if a.content_id not in seen_today and a.content_id not in ad_free]
        for article in dice.some(quiet, 3):
            deliver(day, article.content_id, article.site, dice.index(HOUR_WEIGHTS))
    # Adjustments take money back: no impressions, negative revenue.
    for model in dice.some([row for row in rows if row.micros > 20_000 and row.content_id], 14):
        adjusted = replace(
            model, line_item='adjustment', creative=None, impressions=0, clicks=0, micros=-(model.micros * 3 // 4 + 1)
        )
        if adjusted.key not in keys:
            keys.add(adjusted.key)
            rows.append(adjusted)
            landing.count(source, 'negative_revenue_rows')
            landing.count(source, 'micros.negative_revenue', adjusted.micros)
    rows.sort(key=lambda row: row.at)
    return rows


def deliver_ads(landing: Landing, dice: Dice, rows: list[AdRow]) -> None:
    """Write the GAM files: each row in time or late, some again, some restated, and the broken ones."""
    source = 'gam_delivery'
    restatable: list[tuple[AdRow, date]] = []
    for row in rows:
        day = row.at.date()
        room = min(MAX_LAG, (LAST_DAY - day).days)
        lag = 1 + dice.index([6, 3, 2][:room]) if room and dice.chance(18) else 0
        style = gam_style(dice)
        file_day = day + timedelta(days=lag)
        landing.put(source, file_day, row.at, row.fields(style))
        landing.count(source, f'timestamps.{style}')
        if lag:
            landing.count(source, f'late_rows.{lag}_days')
        if dice.chance(8):
            fields = row.fields('Z' if style != 'Z' else '+07:00')
            fields[6] = f'{row.impressions}.0'
            is_respelled = dice.chance(250)
            landing.put(source, file_day, row.at, fields if is_respelled else row.fields(style))
            landing.count(source, 'equal_rows.same_file')
            landing.count(source, 'equal_rows_spelled_otherwise', is_respelled)
        if lag < room and dice.chance(8):
            again = day + timedelta(days=dice.between(lag + 1, room))
            landing.put(source, again, row.at, row.fields(style))
            landing.count(source, 'equal_rows.later_file')
        elif lag == 0 and room == MAX_LAG and row.micros > 50_000:
            restatable.append((row, file_day))

    def restate(row: AdRow, per_mille: int) -> AdRow:
        return replace(
            row,
            impressions=row.impressions * per_mille // 1000 + 1,
            clicks=row.clicks,
            micros=row.micros * per_mille // 1000 + 7,
        )

    def put_version(first: AdRow, version: AdRow, file_day: date, what: str) -> None:
        landing.put(source, file_day, first.at, version.fields(gam_style(dice)))
        landing.count(source, f'conflicts.{what}')
        landing.count(source, 'micros.conflicts', version.micros)
        landing.count(source, 'micros.conflicts_minus_their_first_versions', version.micros - first.micros)

    chosen = dice.some(restatable, 60)
    one_day = timedelta(days=1)
    for first, day in chosen[:45]:
        is_down = dice.chance(500)
        version = restate(first, dice.between(500, 950) if is_down else dice.between(1050, 1600))
        put_version(first, version, day + timedelta(days=dice.between(1, 3)), 'restated')
        landing.count(source, 'keys_restated_down' if is_down else 'keys_restated_up')
    for first, day in chosen[45:49]:
        put_version(first, restate(first, 1200), day + one_day, 'restated')
        put_version(first, restate(first, 900), day + 2 * one_day, 'restated')
        landing.count(source, 'keys_restated_twice')
    for first, day in chosen[49:52]:
        # Restated and taken back: the third delivery equals the first.
        put_version(first, restate(first, 1300), day + one_day, 'restated')
        landing.put(source, day + 2 * one_day, first.at, first.fields('Z'))
        landing.count(source, 'equal_rows.later_file')
        landing.count(source, 'keys_restated_and_taken_back')
    for first, day in chosen[52:55]:
        # The same restatement delivered twice is one version.
        put_version(first, restate(first, 800), day + one_day, 'restated')
        landing.put(source, day + 3 * one_day, first.at, restate(first, 800).fields('Z'))
        landing.count(source, 'restatements_delivered_again')
    for first, day in chosen[55:]:
        put_version(first, restate(first, 700), day, 'same_file')

    def broken(day: int, changes: dict[str, str | None], reason: str, fields_kept: int | None = None) -> None:
        file_day = date(2025, 10, day)
        model = dice.pick([row for row in rows if row.at.date() == file_day and row.content_id and row.micros > 0])
        fields = dict(zip(COLUMNS[source], model.fields('+07:00'), strict=True)) | changes
        landing.reject(source, file_day, model.at, list(fields.values())[:fields_kept], reason)
        if 'revenue_usd' not in changes and fields_kept is None:
            landing.count(source, 'micros.readable_in_rejects', model.micros)

    broken(4, {'impressions': '-12'}, 'bad_count')
    broken(16, {'impressions': '-1'}, 'bad_count')
    broken(19, {'clicks': '1.5'}, 'bad_count')
    broken(8, {'revenue_usd': 'n/a'}, 'bad_money')
    broken(11, {'revenue_usd': '1.234,56'}, 'bad_money')
    broken(17, {'revenue_usd': 'NaN'}, 'bad_money')
    broken(24, {'revenue_usd': 'Infinity'}, 'bad_money')
    broken(22, {'served_at': '2025-10-22T99:00'}, 'bad_timestamp')
    broken(13, {'ad_unit': None}, 'missing_required')
    broken(27, {'revenue_usd': None}, 'missing_required')
    broken(15, {}, 'wrong_field_count', fields_kept=7)


# --- counting ---------------------------------------------------------------------------------------------------------


def per_user_sessions(events: list[Event]) -> dict[tuple[str, str], set[date]]:
    """The days of each session; an event without user or session belongs to none."""
    days: dict[tuple[str, str], set[date]] = defaultdict(set)
    for event in events:
        if event.user and event.session:
            days[event.user, event.session].add(event.at.date())
    return days


def count_ga4(landing: Landing, events: list[Event], known: set[str]) -> None:
    """Count what the different events are like."""
    source = 'ga4_events'
    sessions = per_user_sessions(events)
    users_of_number: dict[str, set[str]] = defaultdict(set)
    for user, session in sessions:
        users_of_number[session].add(user)
    for event in events:
        landing.count(source, 'distinct_rows')
        landing.count(source, 'pageviews', event.name == 'page_view')
        landing.count(source, 'user_engagements', event.name == 'user_engagement')
        landing.count(source, 'without_content', not event.content_id)
        landing.count(source, 'without_user', not event.user)
        landing.count(source, 'without_session', not event.session)
        landing.count(source, 'without_user_and_session', not event.user and not event.session)
        landing.count(source, 'content_unknown_to_cms', bool(event.content_id) and event.content_id not in known)
    landing.count(source, 'sessions', len(sessions))
    landing.count(source, 'sessions_over_midnight', sum(len(days) > 1 for days in sessions.values()))
    landing.count(source, 'session_numbers_of_two_users', sum(len(users) > 1 for users in users_of_number.values()))


def count_gam(landing: Landing, rows: list[AdRow], known: set[str]) -> None:
    """Count what the first versions of the ad rows are like."""
    source = 'gam_delivery'
    for row in rows:
        landing.count(source, 'distinct_rows')
        landing.count(source, 'impressions', row.impressions)
        landing.count(source, 'clicks', row.clicks)
        landing.count(source, 'micros.revenue', row.micros)
        landing.count(source, 'without_content', not row.content_id)
        landing.count(source, 'content_unknown_to_cms', bool(row.content_id) and row.content_id not in known)


def nested(counts: Counter[str]) -> dict[str, object]:
    """`{"a.b": 1}` as `{"a": {"b": 1}}`; the counts of `micros.*` as decimal text under `money_usd`."""
    result: dict[str, object] = {}
    for name in sorted(counts):
        group, _, what = name.rpartition('.')
        if group == 'micros':
            result.setdefault('money_usd', {})[what] = spell_money(counts[name])  # type: ignore[index]
        elif group:
            result.setdefault(group, {})[what] = counts[name]  # type: ignore[index]
        else:
            result[name] = counts[name]
    return result


def deliver() -> tuple[Landing, list[Article], list[Event], list[AdRow]]:
    """All lines of the month, and the different articles (first versions), events and ad rows in them."""
    landing = Landing()
    articles = make_articles(Dice(20251001))
    # The article without a publish time is on the site from 9 October on, without saying so.
    born = {a.content_id: a.published or datetime(2025, 10, 9, 6, 30) for a in articles}
    unread = [articles[at] for at in (15, 48, 81, 117, 149, 176)]
    ad_free = {articles[at].content_id for at in (3, 66, 188, 203, 236, 247)}
    deliver_articles(landing, Dice(20251002), articles, born)
    readable = [article for article in articles if article not in unread]
    dice = Dice(20251003)
    events = make_events(landing, dice, Newsstand(dice, readable, born))
    deliver_events(landing, Dice(20251004), events)
    rows = make_ads(landing, Dice(20251005), events, articles, ad_free, unread)
    deliver_ads(landing, Dice(20251006), rows)
    return landing, articles, events, rows


def build() -> dict[str, bytes]:
    """Every file of the landing zone by its path (not compressed), and `planted.json`."""
    landing, articles, events, rows = deliver()
    known = {article.content_id for article in articles}
    landing.count('cms_articles', 'distinct_rows', len(articles) + landing.planted['cms_articles']['edits'])
    count_ga4(landing, events, known)
    count_gam(landing, rows, known)
    ga4_keys = {(event.at.date(), event.content_id or '(not set)') for event in events}
    gam_keys = {(row.at.date(), row.content_id or '(not set)') for row in rows}
    viewed = {event.content_id or None for event in events}
    advertised = {row.content_id or None for row in rows}
    files = landing.render()
    planted = {
        'period': {'first_day': str(FIRST_DAY), 'last_day': str(LAST_DAY), 'timezone': 'Asia/Jakarta'},
        **{source: nested(counts) for source, counts in landing.planted.items()},
        'daily_summary': {
            'rows': len(ga4_keys | gam_keys),
            'rows_with_ads_but_no_events': len(gam_keys - ga4_keys),
            'rows_with_events_but_no_ads': len(ga4_keys - gam_keys),
            'contents_with_ads_and_no_event_all_month': len(advertised - viewed),
            'contents_with_events_and_no_ad_all_month': len(viewed - advertised),
        },
        'files': {source: sum(path.startswith(source) for path in files) for source in COLUMNS},
    }
    files['planted.json'] = (json.dumps(planted, indent=2) + '\n').encode()
    return files


# --- files ------------------------------------------------------------------------------------------------------------


def compress(content: bytes) -> bytes:
    """gzip without name and time, so that equal content gives equal bytes."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename='', mode='wb', compresslevel=9, fileobj=buffer, mtime=0) as stream:
        stream.write(content)
    return buffer.getvalue()


def packed(path: Path, content: bytes) -> bytes:
    """The bytes of a file of that name."""
    return compress(content) if path.suffix == '.gz' else content


def holds(path: Path, content: bytes) -> bool:
    """Whether the file has these bytes, for .gz after unpacking: how zlib packs differs between its versions."""
    if not path.is_file():
        return False
    try:
        return (gzip.decompress(path.read_bytes()) if path.suffix == '.gz' else path.read_bytes()) == content
    except (OSError, EOFError):
        return False


def left_over(out: Path, files: dict[str, bytes], pattern: str) -> list[Path]:
    """Landing files in the folder that its generator does not write."""
    found = [path for source in COLUMNS for path in sorted((out / source).glob(pattern))]
    return [path for path in found if path.relative_to(out).as_posix() not in files]


def settle(
    files: dict[str, bytes],
    what: str,
    home: Path,
    pattern: str,
    arguments: Sequence[str] | None,
    is_same: Callable[[Path, bytes], bool] = holds,
    packed: Callable[[Path, bytes], bytes] = packed,
) -> int:
    """The command line of a generator: write its files, or say which of them differ."""
    parser = argparse.ArgumentParser(description=f'Write {what}, the same every time.')
    parser.add_argument('--check', action='store_true', help='write nothing; exit with 1 if the files differ')
    parser.add_argument('--out', type=Path, default=home, help=f'folder (default: {home.name}/)')
    options = parser.parse_args(arguments)
    stale = left_over(options.out, files, pattern)
    different = [name for name, content in files.items() if not is_same(options.out / name, content)]
    if options.check:
        for name in [*different, *(str(path) for path in stale)]:
            sys.stderr.write(f'differs: {name}\n')
        return 1 if different or stale else 0
    for path in stale:
        path.unlink()
    for name in different:
        path = options.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(packed(path, files[name]))
    sys.stdout.write(f'{len(files)} files in {options.out}: {len(different)} written, {len(stale)} removed\n')
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    home = Path(__file__).resolve().parent
    return settle(build(), 'the sample landing zone (October 2025)', home, '*.csv*', arguments)


if __name__ == '__main__':
    sys.exit(main())
