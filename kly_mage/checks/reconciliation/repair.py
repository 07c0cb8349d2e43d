"""What was changed in bronze behind the loads' back, put right: the rows go, their days are loaded again and counted anew.

Only rows that a reconciliation has just found to differ from the files are taken out of bronze, and only on request.
"""

from collections.abc import Iterator
from datetime import date

from kly_mage.checks.reconciliation.model import Causes, Report
from kly_mage.checks.verify import block
from kly_mage.common.settings import Settings
from kly_mage.common.text import counted
from kly_mage.declared import SOURCES
from kly_mage.landing.files import day_in_name
from kly_mage.loads import runner
from kly_mage.warehouse.choice import warehouse


def repair(settings: Settings, report: Report) -> Iterator[str]:
    """Make bronze what the files say, for the days and sources of the report; says what is done, line by line.

    Rows that stand in no file stay if a file is gone or unreadable: it may come back.
    """
    recounted: dict[str, set[date]] = {}
    for name in report.sources:
        causes = report.causes[name]
        rows = _rows(causes)
        if causes.damaged.get('in_no_file') and (causes.gone or causes.unreadable):
            yield f'{name}: rows that stand in no file are left, because files are gone or unreadable'
        if rows or not (causes.gone or causes.unreadable):
            counted_on = warehouse(settings).remove(SOURCES[name], sorted(rows), report.window)
        if rows:
            recounted[name] = counted_on | set(_days(report, causes))
            told = '1 row of bronze was not as the files have it, and is'
            if len(rows) > 1:
                told = counted(
                    len(rows),
                    'row of bronze was not as the files have it, and is',
                    'rows of bronze were not as the files have them, and are',
                )
            yield f'{name}: {told} removed'
        if days := _days(report, causes):
            chosen = [pipeline for pipeline in runner.names() if _loads(pipeline, name)]
            outputs = runner.run(chosen, start_date=min(days), end_date=max(days), started_by='repair', reread=True)
            for load in outputs.values():
                if load['source'] == name:
                    yield f'{name} {load["days"]}: {load["rows_new"]:,} new'
        if off := {line.day for line in report.lines_of(name) if line.day and any(map(line.gold_difference, line.sums))}:
            recounted[name] = recounted.get(name, set()) | off
    if recounted:
        warehouse(settings).recount(recounted, block)
        yield 'gold is counted anew for these days'


def _days(report: Report, causes: Causes) -> list[date]:
    """The days to load: those of the rows, or, for articles, which may be of any day, those of their files."""
    wanted = ('not_loaded', 'lost', 'changed', 'restated')
    if SOURCES[causes.source].any_day:
        names = [file for file, *_ in causes.not_loaded]
        names += [file for place in wanted for _, file, *_ in causes.damaged.get(place, []) if file]
        days = [day_in_name(SOURCES[causes.source], name) for name in names]
        if names and None in days:  # an undated file is read by any load
            days += [line.day for line in report.lines_of(causes.source)]
        return [day for day in days if day]
    lines = report.lines_of(causes.source)
    of_lines = {line.day for line in lines if line.day and any(line.rows.get(place) for place in wanted)}
    # What takes the place of a removed row stands among the conflicts until then, and goes with it: it is loaded anew.
    return sorted(of_lines | {day for place in _places(causes) for day, *_ in causes.damaged.get(place, []) if day})


def _rows(causes: Causes) -> set[str]:
    """The hashes of the rows to remove."""
    return {row for place in _places(causes) for *_, row in causes.damaged.get(place, [])}


def _places(causes: Causes) -> list[str]:
    """Where the rows to remove are."""
    places = ['lost', 'changed', 'unregistered']
    return places if causes.gone or causes.unreadable else [*places, 'in_no_file', 'restated']


def _loads(pipeline: str, source: str) -> bool:
    return any(block.uuid == f'load_{source}' for block in runner.blocks([pipeline]))
