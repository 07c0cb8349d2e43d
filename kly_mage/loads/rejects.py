"""Rejected rows tried again: what has become usable is loaded by the blocks, and marked resolved, not deleted."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from kly_mage.common.errors import LandingError
from kly_mage.common.settings import Settings
from kly_mage.common.window import Window
from kly_mage.declared import SOURCES
from kly_mage.declared.base import Source
from kly_mage.landing import cut, readers
from kly_mage.landing import files as landing
from kly_mage.landing.files import LandingFile
from kly_mage.landing.left_out import FILE_LINE
from kly_mage.loads import runner
from kly_mage.warehouse.choice import warehouse
from kly_mage.warehouse.waiting import Waiting


@dataclass(frozen=True)
class Outcome:
    """What a retry did.

    Attributes:
        resolved: rejects whose line is usable now, or is not there any more.
        taken: of these, last lines without an end that were taken as they stand.
        loads: what the loads of their days returned.
        still: rejects that wait on.
    """

    resolved: int
    taken: list[Waiting]
    loads: list[dict[str, Any]]
    still: int


def retry(settings: Settings, sources: Iterable[str]) -> Outcome:
    """Read the files of waiting rejects again; load the days of what has become usable; mark that as resolved.

    A reject is over when its line is not rejected for that reason any more: it is usable and gets loaded, or it is gone
    from the file, or something else is wrong with it, which then waits as a reject of its own. One whose file is gone waits;
    one that is about the file as a whole is over then, or when the file can be used. A last line without an end that is
    still as it was is taken as it stands: whoever asks for the retry says that it is whole.
    """
    store, loads, taken = warehouse(settings), list[dict[str, Any]](), list[Waiting]()
    rejects, resolved = list(store.waiting_rejects(list(sources), None, accepted_too=True)), list[Waiting]()
    for name in dict.fromkeys(reject.source for reject in rejects):
        source, of_source = SOURCES[name], [reject for reject in rejects if reject.source == name]
        days, over, whole = _mended(settings, source, of_source)
        store.take_rejects(whole)
        taken += whole
        for span in _spans(days):
            asked: dict[str, Any] = {
                'start_date': span.start,
                'end_date': span.end,
                'started_by': 'rejects --retry',
                'reread': True,
            }
            outputs = runner.run(_pipelines(name), **asked)
            loads += [output for output in outputs.values() if output['source'] == name]
        resolved += over
    store.resolve_rejects(resolved)
    return Outcome(len(resolved), taken, loads, len(rejects) - len(resolved))


def _mended(settings: Settings, source: Source, rejects: list[Waiting]) -> tuple[set[date], list[Waiting], list[Waiting]]:
    """The days to load, the rejects that are over then, and those of them that are last lines to be taken as they stand."""
    files = {file.name: file for file in landing.find_files(source, settings.data_dir, settings.timezone, settings.mapping)}
    days: set[date] = set()
    over: list[Waiting] = []
    whole: list[Waiting] = []
    for name in dict.fromkeys(reject.file for reject in rejects):
        of_file = [reject for reject in rejects if reject.file == name]
        about_file = [reject for reject in of_file if reject.line == FILE_LINE]
        if name not in files:
            over += about_file  # it holds nothing up any more; its days lack it by name
            continue
        try:
            lines, all_days = _lines(settings, source, files[name], {reject.line for reject in of_file})
        except LandingError:
            continue  # the file as a whole cannot be read: its load says so, and the rejects wait
        if about_file:
            over += about_file
            days |= _days(source, files[name], all_days, settings.late_days)
        for reject in of_file:
            if reject in about_file:
                continue
            found, own = lines.get(reject.line), files[name].days(settings.late_days)
            if found is None:
                over.append(reject)
                continue
            reason, day = found
            is_same = reason == (reject.column, reject.value, reject.reason)
            if reason is not None and not (is_same and reject.reason == cut.REASON):
                if not is_same:
                    over.append(reject)
                    days |= {day or reject.day or files[name].day or date.today()}
                continue
            if source.any_day:  # any load that looks at the file takes it
                day = files[name].day or day or date.today()
            elif own and day and not own.start <= day <= own.end:
                continue  # usable, but no load takes a row of that day from this file: reconcile says so
            if day:
                days.add(day)
            if is_same:
                whole.append(reject)
            over.append(reject)
    return days, over, whole


def _days(source: Source, file: LandingFile, days: set[date], late_days: int) -> set[date]:
    """The days to load so that all of a file is, given those of its rows."""
    if source.any_day:  # any load that looks at the file takes all of it
        return {file.day or max(days, default=date.today())}
    own = file.days(late_days)
    return {day for day in days if not own or own.start <= day <= own.end}


def _lines(
    settings: Settings, source: Source, file: LandingFile, wanted: set[int]
) -> tuple[dict[int, tuple[tuple[Any, ...] | None, date | None]], set[date]]:
    """For each of these lines of a file: what is wrong with it (None: nothing), and its day; and the days of all lines."""
    found: dict[int, tuple[tuple[Any, ...] | None, date | None]] = {}
    days: set[date] = set()
    for frame in readers.read(source, [file], None, timezone=settings.timezone, late_days=settings.late_days):
        days.update(frame['_partition_date'].drop_nulls().unique())
        reject = pl.col('_reject')
        rows = frame.filter(pl.col('_line').is_in(list(wanted))).select(
            '_line',
            '_partition_date',
            reject.is_not_null().alias('is_bad'),
            *(reject.str.json_path_match(f'$.{name}').alias(name) for name in ('column', 'value', 'reason')),
        )
        for line, day, bad, *reason in rows.iter_rows():
            found[line] = (tuple(reason) if bad else None, day)
    return found, days


def _pipelines(source: str) -> list[str]:
    """The pipelines that load a source."""
    return [name for name in runner.names() if any(block.uuid == f'load_{source}' for block in runner.blocks([name]))]


def _spans(days: set[date]) -> list[Window]:
    """The days as few windows."""
    spans: list[Window] = []
    for day in sorted(days):
        if spans and (day - spans[-1].end).days == 1:
            spans[-1] = Window(spans[-1].start, day)
        else:
            spans.append(Window(day, day))
    return spans
