"""A landing zone for the tests: small files of ad rows, and their rows as a block sees them."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import polars as pl

from kly_mage.common.window import Window
from kly_mage.declared.base import Source
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.landing import files as landing
from kly_mage.landing import readers
from kly_mage.landing.outside import OUTSIDE

JAKARTA = 'Asia/Jakarta'
HEADER = 'served_at,ad_unit,impressions,clicks,revenue_usd\n'
FILE = 'gam_delivery/gam_delivery_20251001.csv'
Write = Callable[..., Path]


def row(ad_unit: str, day: str = '2025-10-01') -> str:
    """One ad row, at noon in Jakarta."""
    return f'{day}T12:00:00+07:00,{ad_unit},1,0,0.5\n'


def read(
    folder: Path, start: str | None = None, end: str | None = None, source: Source = GAM_DELIVERY, late_days: int = 3
) -> pl.DataFrame:
    """All rows of the days asked for, as a block sees them."""
    days = Window(date.fromisoformat(start), date.fromisoformat(end or start)) if start else None
    files = landing.find_files(source, folder, JAKARTA)
    if days and not source.any_day:
        files = landing.files_for(files, days, late_days)
    return readers.whole(source, readers.read(source, files, days, timezone=JAKARTA, late_days=late_days))


def located(frame: pl.DataFrame) -> list[tuple[int, str | None]]:
    """Line and ad unit of every row, by line; rejected rows have None."""
    unit = pl.when(pl.col('_reject').is_null()).then('ad_unit').alias('ad_unit')
    return frame.select('_line', unit).sort('_line').rows()


def units(frame: pl.DataFrame) -> list[str]:
    """The ad units of all rows but those outside the days of their file."""
    return sorted(frame.filter(pl.col('_reject').ne_missing(OUTSIDE))['ad_unit'])
