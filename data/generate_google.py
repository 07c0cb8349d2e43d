"""Write the month of generate.py as Google and a CMS would deliver it, into `data_google/`: the same rows, so the same numbers.

    python data/generate_google.py            write the files
    python data/generate_google.py --check    exit with 1 if the files differ from what would be written
    python data/generate_google.py --out DIR  another folder

Google Analytics 4 comes as its BigQuery export (nested events, as Parquet and as JSON lines), Google Ad Manager as reports of
its API, the articles as a CMS of its own words writes them. What those shapes cannot hold is left out: a timestamp that is
none where times are numbers, an amount that is none where money is micros. data_google/README.md says what that is.
"""

from __future__ import annotations

import io
import json
import sys
import zipfile
from datetime import date, datetime
from pathlib import Path

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
from generate import COLUMNS, UTC_OFFSET, Fields, deliver, holds, moment, packed, records, settle
from google_events import Export, export_files
from google_reports import Reports, report_file, table

CMS_HEADER = ['Tautan', 'Situs', 'Judul', 'Penulis', 'Kanal', 'Tanggal Tayang', 'Catatan Redaksi']
CMS_TIME = '%d/%m/%Y %H:%M:%S'
# Days that the CMS delivers otherwise.
PARQUET_DAY, JSON_DAY = date(2025, 10, 9), date(2025, 10, 8)
PACKED_DAYS = {date(2025, 10, 5): '.zst', date(2025, 10, 7): '.zip'}
LANDING_TOML = """\
# What the files of this landing zone hold that are in nobody's words but the CMS's own. README.md of the project, "Columns of
# your own", has all of it; the files of Google are recognised by themselves.

[[mapping]]
source = 'cms_articles'
files = 'cms_articles_*.parquet'        # has times with their type, and no notes

[mapping.columns]
content_id = { from = 'Tautan', match = '/read/([^/]+)/' }
site = 'Situs'
title = 'Judul'
author = 'Penulis'
section = 'Kanal'
publish_timestamp = 'Tanggal Tayang'

[[mapping]]
source = 'cms_articles'
zone = 'Asia/Jakarta'
ignore = ['Catatan Redaksi']

[mapping.columns]
content_id = { from = 'Tautan', match = '/read/([^/]+)/' }
site = 'Situs'
title = 'Judul'
author = 'Penulis'
section = 'Kanal'
publish_timestamp = { from = 'Tanggal Tayang', date = '%d/%m/%Y %H:%M:%S' }
"""


def cms_line(fields: Fields) -> Fields:
    """A line of the CMS: its articles have addresses, not ids; its dates are those of Indonesia."""
    if len(fields) != len(COLUMNS['cms_articles']):
        return fields
    content_id, site, title, author, section, published = fields
    link = f'https://www.{site}/{section}/read/{content_id}/' if content_id else None
    at = moment(published)
    return [link, site, title, author, section, at.strftime(CMS_TIME) if at else published, None]


def cms_file(day: date, rows: list[Fields]) -> tuple[str, bytes]:
    """The file of a day's articles, not packed yet."""
    name = f'cms_articles/cms_articles_{day:%Y%m%d}'
    if day == PARQUET_DAY:
        columns = {column: [row[at] for row in rows] for at, column in enumerate(CMS_HEADER[:-1])}
        times = [text and datetime.strptime(text, CMS_TIME) - UTC_OFFSET for text in columns['Tanggal Tayang']]
        published = pa.array(times, pa.timestamp('us', 'UTC'))
        packed = io.BytesIO()
        pq.write_table(pa.table(columns | {'Tanggal Tayang': published}), packed)
        return f'{name}.parquet', packed.getvalue()
    if day == JSON_DAY:
        lines = [json.dumps(dict(zip(CMS_HEADER, row, strict=True)), ensure_ascii=False) for row in rows]
        return f'{name}.ndjson', ''.join(f'{line}\n' for line in lines).encode()
    return f'{name}.csv{PACKED_DAYS.get(day, "")}', table(CMS_HEADER, rows, ';')


def build() -> dict[str, bytes]:
    """Every file by its path (not packed), and `planted.json`."""
    landing = deliver()[0]
    files = {'landing.toml': LANDING_TOML.encode()}
    articles: dict[date, list[Fields]] = {}
    for day, fields in records(landing, 'cms_articles'):
        articles.setdefault(day, []).append(cms_line(fields))
    files |= dict(cms_file(day, rows) for day, rows in articles.items())
    export, reports = Export(), Reports()
    for day, fields in records(landing, 'ga4_events'):
        export.add(day, fields)
    files |= dict(export_files(export))
    reports.add_all(list(records(landing, 'gam_delivery')))
    files |= dict(report_file(day, rows) for day, rows in reports.rows.items())
    planted = {'ga4_events': dict(sorted(export.planted.items())), 'gam_delivery': dict(sorted(reports.planted.items()))}
    files['planted.json'] = (json.dumps(planted, indent=2) + '\n').encode()
    return files


def zipped(path: Path, content: bytes) -> bytes:
    """The bytes of a file of that name, packed as it says."""
    if path.suffix == '.zst':
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, 'zstd') as stream:
            stream.write(content)
        return sink.getvalue().to_pybytes()
    if path.suffix == '.zip':
        whole = io.BytesIO()
        with zipfile.ZipFile(whole, 'w', zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(zipfile.ZipInfo(path.stem), content)
        return whole.getvalue()
    return packed(path, content)


def is_same(path: Path, content: bytes) -> bool:
    """Whether a file holds that; of Parquet the rows and their types, because bytes differ between pyarrow's versions."""
    try:
        if path.suffix == '.zst':
            return bool(pa.input_stream(path, compression='zstd').read() == content)
        if path.suffix == '.zip':
            with zipfile.ZipFile(path) as archive:
                return [archive.read(name) for name in archive.namelist()] == [content]
        if path.suffix == '.avro':
            with path.open('rb') as file:
                return list(fastavro.reader(file)) == list(fastavro.reader(io.BytesIO(content)))
        if path.suffix != '.parquet':
            return holds(path, content)
        there, wanted = (
            # Threads that are still at work when Python ends abort it.
            pq.ParquetFile(file, pre_buffer=False).read(use_threads=False)
            for file in (path, io.BytesIO(content))
        )
        return bool(there.equals(wanted))
    except (OSError, ValueError, zipfile.BadZipFile):  # Arrow's errors are values' as well
        return False


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    home = Path(__file__).resolve().parents[1] / 'data_google'
    return settle(build(), "the sample's month in the shapes of Google and a CMS", home, '*', arguments, is_same, zipped)


if __name__ == '__main__':
    sys.exit(main())
