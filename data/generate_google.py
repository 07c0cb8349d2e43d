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
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from generate import COLUMNS, Fields, csv_field, deliver, holds, moment, records, settle
from google_events import Export, export_files
from google_reports import REPORT, Reports

CMS_HEADER = ['Tautan', 'Situs', 'Judul', 'Penulis', 'Kanal', 'Tanggal Tayang', 'Catatan Redaksi']
LANDING_TOML = """\
# What the files of this landing zone hold that are in nobody's words but the CMS's own. README.md of the project, "Columns of
# your own", has all of it; the files of Google are recognised by themselves.

[[mapping]]
source = 'cms_articles'
files = 'cms_articles_*.csv'
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
    return [link, site, title, author, section, f'{at:%d/%m/%Y %H:%M:%S}' if at else published, None]


def build() -> dict[str, bytes]:
    """Every file by its path (not compressed), and `planted.json`."""
    landing = deliver()[0]
    files = {'landing.toml': LANDING_TOML.encode()}
    articles: dict[date, list[Fields]] = {}
    for day, fields in records(landing, 'cms_articles'):
        articles.setdefault(day, []).append(cms_line(fields))
    for day, rows in articles.items():
        files[f'cms_articles/cms_articles_{day:%Y%m%d}.csv'] = table(CMS_HEADER, rows, ';')
    export, reports = Export(), Reports()
    for day, fields in records(landing, 'ga4_events'):
        export.add(day, fields)
    files |= dict(export_files(export))
    reports.add_all(list(records(landing, 'gam_delivery')))
    for day, rows in reports.rows.items():
        files[f'gam_delivery/gam_delivery_{day:%Y%m%d}.csv.gz'] = table(list(REPORT), rows, ',')
    planted = {'ga4_events': dict(sorted(export.planted.items())), 'gam_delivery': dict(sorted(reports.planted.items()))}
    files['planted.json'] = (json.dumps(planted, indent=2) + '\n').encode()
    return files


def table(header: Fields, rows: Iterable[Fields], sign: str) -> bytes:
    """A CSV file."""
    lines = [sign.join(csv_field(value, sign) for value in row) for row in [header, *rows]]
    return ('\n'.join(lines) + '\n').encode()


def is_same(path: Path, content: bytes) -> bool:
    """Whether a file holds that; of Parquet the rows and their types, because bytes differ between pyarrow's versions."""
    if path.suffix != '.parquet' or not path.is_file():
        return holds(path, content)
    try:
        return bool(pq.read_table(path).equals(pq.read_table(io.BytesIO(content))))
    except (OSError, pa.ArrowException):
        return False


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    home = Path(__file__).resolve().parents[1] / 'data_google'
    return settle(build(), "the sample's month in the shapes of Google and a CMS", home, '*', arguments, is_same)


if __name__ == '__main__':
    sys.exit(main())
