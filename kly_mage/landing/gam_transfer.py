"""Ad Manager's Data Transfer files: one event per line becomes the sums that ``gam_delivery`` has.

The events of a file are added up by ad unit, line item, creative, article and quarter of an hour (on all clocks a day begins
with one), and a sum's instant is that of its earliest event, to the microsecond. So the sums of one file are the same
whatever the order of its events, and are already loaded when it comes again. Those of other files, which may hold late
events of the same quarter, clicks beside impressions, or the rest of an hour, have other instants and add up with them.
An event that stands in a file twice counts once. That it stands in two files is not looked for.
"""

import contextlib
import logging
from collections.abc import Callable, Generator, Iterator
from pathlib import PurePath

import numpy as np
import polars as pl

from kly_mage.common.errors import LandingError
from kly_mage.common.text import counted
from kly_mage.declared import gam_transfer
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.landing import cut
from kly_mage.landing.doubles import to_money
from kly_mage.landing.files import LandingFile
from kly_mage.landing.ga4_export import rejected
from kly_mage.landing.mapping import value_of_key
from kly_mage.landing.slices import Slice
from kly_mage.rows import casting
from kly_mage.rows.frames import SLICE_ROWS

MOST_EVENTS = 2_000_000
_QUARTER = 900_000_000  # microseconds
_LAST_MICROSECOND = 253_402_300_799_999_999  # of the year 9999
_SAME = ('a', 'b')  # two hashes of what an event is
_KEY = ('_quarter', 'ad_unit', 'line_item', 'creative', 'content_id')
_NOTHING = ('', '0', '-1', 'Null', 'null')  # how a field says that it does not apply
_logger = logging.getLogger('kly_mage')


def columns(file: LandingFile, names: list[str]) -> list[str]:
    """The columns of the sums.

    Args:
        names: of the file.

    Raises:
        LandingError: its name does not say that its events are impressions or clicks, or it lacks a field.
    """
    kind = gam_transfer.kind_of(PurePath(file.name).name)
    if kind is None:
        raise LandingError(
            f'{file.name}: has the columns of a Data Transfer file, of which NetworkImpressions, '
            'NetworkBackfillImpressions, NetworkClicks and NetworkBackfillClicks count; keep the name of Google, '
            '…_<network>_YYYYMMDD_HH'
        )
    needed = [gam_transfer.REVENUE] if kind == 'NetworkBackfillImpressions' else []
    needed += gam_transfer.CLICK[:1] if kind.endswith('Clicks') else []
    article = gam_transfer.article_of(file.mapping).from_
    needed += [article] if article and article != gam_transfer.TARGETING else []
    if missing := [name for name in needed if name not in names]:
        raise LandingError(f'{file.name}: lacks the field {missing[0]}; add it to the Data Transfer files in Ad Manager')
    return list(gam_transfer.ROWS)


def added_up(file: LandingFile, walk: Callable[[], Generator[Slice, None, None]]) -> Iterator[Slice]:
    """The sums of a file's events, all of it text, behind what is no event.

    Args:
        walk: over the file; done again where events stand there twice, which is only known at the end.

    Raises:
        LandingError: there are more events than can be held.
    """
    kind = gam_transfer.kind_of(PurePath(file.name).name) or ''
    sums, parts, events = _Sums(), list[pl.DataFrame](), 0
    with contextlib.closing(walk()) as slices:
        for part in slices:
            rows, rejects = _usable(part, kind, file)
            if rejects is not None:
                yield Slice(pl.DataFrame(schema=dict.fromkeys(gam_transfer.ROWS, pl.String)), part.lines.clear(), rejects)
            sums.add(rows)
            parts.append(rows.select(_SAME))
            events += rows.height
            if events > MOST_EVENTS:
                raise LandingError(
                    f'{file.name}: holds more than {MOST_EVENTS:,} events: deliver it in parts, or by the hour'
                )
    twice = _twice(parts)
    if twice.height:
        more = int(twice['times'].sum()) - twice.height
        told = counted(more, 'event is there twice and counts', 'events are there twice and count')
        _logger.warning('%s: %s once', file.name, told)
        sums = _without(twice.select(_SAME), walk, kind, file)
    for some in sums.all().iter_slices(SLICE_ROWS):
        yield Slice(_text(some), some['_line'])


def _twice(parts: list[pl.DataFrame]) -> pl.DataFrame:
    """Which events are there more than once, and how many ``times``. Sorted by numpy: polars takes five times the memory."""
    pairs = np.concatenate([part.to_numpy() for part in parts]) if parts else np.zeros((0, 2), np.uint64)
    parts.clear()
    same = np.ascontiguousarray(pairs).view([(name, np.uint64) for name in _SAME]).reshape(-1)
    same.sort(order=list(_SAME))
    again = np.flatnonzero(same[1:] == same[:-1]) + 1
    return pl.DataFrame({name: same[name][again] for name in _SAME}).group_by(_SAME).agg(times=pl.len() + 1)


def _without(twice: pl.DataFrame, walk: Callable[[], Generator[Slice, None, None]], kind: str, file: LandingFile) -> '_Sums':
    """The sums of a file in which each event of ``twice`` counts where it stands first."""
    sums, waiting = _Sums(), twice
    with contextlib.closing(walk()) as slices:
        for part in slices:
            rows, _ = _usable(part, kind, file)
            first = rows.join(waiting, on=_SAME, how='semi').unique(_SAME, keep='first', maintain_order=True)
            waiting = waiting.join(first, on=_SAME, how='anti')
            sums.add(rows.join(twice, on=_SAME, how='anti'))
            sums.add(first)
    return sums


class _Sums:
    """The sums of the events so far: added up whenever what waits is as much as they are."""

    def __init__(self) -> None:
        self._parts: list[pl.DataFrame] = []

    def add(self, events: pl.DataFrame) -> None:
        """Take further events, each a sum of one."""
        self._parts.append(events.drop(_SAME))
        if sum(part.height for part in self._parts[1:]) > max(SLICE_ROWS, self._parts[0].height):
            self._parts = [_added(self._parts)]

    def all(self) -> pl.DataFrame:
        """The sums, in the order of their first events in the file."""
        return _added(self._parts).sort('_line') if self._parts else pl.DataFrame()


def _usable(part: Slice, kind: str, file: LandingFile) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """The events of a slice, each a sum of one, with ``a`` and ``b`` of what it is; and rejects of what is none."""
    rows = part.rows
    at = _at(rows)
    money = _money(rows)
    problems = {
        'TimeUsec2': at.is_null(),
        'AdUnitId': _given(rows, 'AdUnitId').is_null(),
        **{name: rows[name].is_null() | (rows[name] == '') for name in gam_transfer.EVENT},
        gam_transfer.REVENUE: money.is_null(),
    }
    is_bad, rejects = pl.repeat(False, rows.height, eager=True), [] if part.rejects is None else [part.rejects]
    for name, bad in problems.items():
        if (new := bad & ~is_bad).any():
            rejects.append(rejected(name, rows.filter(new), part.lines.filter(new)))
        is_bad |= bad
    if part.cut is not None and rows.height and part.lines[-1] == part.cut and not is_bad[-1]:
        # Nobody can take it as whole later: a single event has no row of its own.
        rejects.append(rejected(rows.columns[-1], rows[-1:], part.lines[-1:], f'{cut.REASON}; deliver the file again'))
        is_bad = is_bad.scatter(rows.height - 1, True)
    is_click = kind.endswith('Clicks')
    line_item = _given(rows, 'LineItemId')
    # The ad server's file may hold requests that nothing was served for; Ad Exchange has no line item of its own.
    is_served = line_item.is_not_null() if kind == 'NetworkImpressions' and 'LineItemId' in rows.columns else ~is_bad
    identity = [name for name in (*gam_transfer.EVENT, *(gam_transfer.CLICK if is_click else ())) if name in rows.columns]
    what = rows.select(pl.struct(identity).hash(1).alias('a'), pl.struct(identity).hash(2).alias('b'))
    impressions = pl.repeat(0, rows.height, dtype=pl.Int64, eager=True) if is_click else is_served.cast(pl.Int64)
    events = pl.DataFrame(
        [
            *what,
            (at // _QUARTER).alias('_quarter'),
            at.alias('_at'),
            part.lines,
            _given(rows, 'AdUnitId').alias('ad_unit'),
            line_item.alias('line_item'),
            _given(rows, 'CreativeId').alias('creative'),
            _article(rows, file).alias('content_id'),
            impressions.alias('impressions'),
            pl.repeat(int(is_click), rows.height, dtype=pl.Int64, eager=True).alias('clicks'),
            money.alias('revenue_usd'),
        ]
    )
    return events.filter(~is_bad), pl.concat(rejects, how='diagonal') if rejects else None


def _added(parts: list[pl.DataFrame]) -> pl.DataFrame:
    numbers = pl.col('impressions', 'clicks', 'revenue_usd').sum()
    return pl.concat(parts).group_by(_KEY).agg(pl.col('_at', '_line').min(), numbers).select(parts[0].columns)


def _text(sums: pl.DataFrame) -> pl.DataFrame:
    at = pl.col('_at').cast(pl.Datetime('us')).dt.to_string('%Y-%m-%dT%H:%M:%S%.6fZ').alias('served_at')
    return sums.with_columns(at).select(pl.col(gam_transfer.ROWS).cast(pl.String))


def _at(rows: pl.DataFrame) -> pl.Series:
    """When the event was, in microseconds since 1970; that of the request where the file does not say it."""
    times = [
        rows[name].cast(pl.Int64, strict=False) for name in (gam_transfer.CLICK[0], 'TimeUsec2') if name in rows.columns
    ]
    return pl.select(pl.coalesce(pl.when((t > 0) & (t <= _LAST_MICROSECOND)).then(t) for t in times)).to_series()


def _money(rows: pl.DataFrame) -> pl.Series:
    """Units of the network's currency; 0 where a file has none, null where a text is no amount."""
    if gam_transfer.REVENUE not in rows.columns:
        return pl.Series(['0']).new_from_index(0, rows.height).cast(casting.MONEY)
    texts = rows[gam_transfer.REVENUE]
    texts = pl.select(pl.when(texts.is_null() | texts.is_in(_NOTHING)).then(pl.lit('0')).otherwise(texts)).to_series()
    return casting.typed(to_money(texts), GAM_DELIVERY.column('revenue_usd'), 'UTC')


def _article(rows: pl.DataFrame, file: LandingFile) -> pl.Series:
    column = gam_transfer.article_of(file.mapping)
    if column.constant is not None or column.from_ not in rows.columns:
        return pl.Series([column.constant], dtype=pl.String).new_from_index(0, rows.height)
    raw = rows[column.from_]
    raw = raw.str.extract(column.match, 1) if column.match else raw
    return value_of_key(raw, column.key) if column.key else raw


def _given(rows: pl.DataFrame, name: str) -> pl.Series:
    """The values of a field, null where it does not apply."""
    if name not in rows.columns:
        return pl.Series([None], dtype=pl.String).new_from_index(0, rows.height)
    return pl.select(pl.when(~rows[name].is_in(_NOTHING)).then(rows[name])).to_series()
