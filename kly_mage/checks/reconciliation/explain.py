"""The causes behind the counts: which files, lines and rows the findings name."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from kly_mage.checks.reconciliation.model import Causes, Line
from kly_mage.checks.reconciliation.read import Reading
from kly_mage.landing.files import day_in_name
from kly_mage.warehouse.account import Account


def explain(of: Account, reading: Reading, lines: Iterable[Line]) -> Causes:
    """What the findings of one source say beyond the counts."""
    causes, files = Causes(reading.source.name, unreadable=reading.unreadable), reading.files
    counted = {place for line in lines for place, rows in line.rows.items() if rows}
    causes.covered = of.days_asked_for()
    missing = of.missing() if {'not_loaded', 'outside'} & counted else []
    for place, number, rows, first, last, line in missing:
        file = files[number]
        if place == 'not_loaded':
            causes.not_loaded.append((file.name, file.day, rows, first, last))
        elif file.day:
            causes.outside.append((file.name, file.day, rows, first, last, line))
    damaged = of.damaged() if {'lost', 'changed'} & counted else []
    for place, day, number, line, row in damaged:
        causes.damaged.setdefault(place, []).append((day, files[number].name, line, row))
    if 'in_no_file' in counted:
        for day, row, is_registered in of.unsourced():
            causes.damaged.setdefault('in_no_file', []).append((day, None, None, row))
            if not is_registered:
                causes.damaged.setdefault('unregistered', []).append((day, None, None, row))
    named = {row for rows in causes.damaged.values() for *_, row in rows}
    if others := [(day, None, None, row) for day, row in of.not_the_newest() if row not in named]:
        causes.damaged['restated'] = [*others]
    if versions := [version for version in of.other_versions() if version.row not in named]:
        causes.damaged['restated'] = [(day, files[number].name, line, row) for _, day, number, line, row in versions]
    _explain_files(of.files_as_loaded(), reading, causes)
    causes.uncounted = of.waiting_for_refresh()
    causes.stale_rejects = of.stale_rejects()
    if 'conflict_same_file' in counted:
        causes.same_file = _telling_columns(of.conflicting_in_one_file())
    return causes


def _explain_files(seen: Mapping[str, tuple[int, datetime]], reading: Reading, causes: Causes) -> None:
    """Files that have changed since a load read them (``seen``), and files that are gone."""
    source, settings, window, files = reading.source, reading.settings, reading.window, reading.files
    for file in files:
        if file.name in seen and not file.is_table and seen[file.name] != (file.size, file.modified_at):
            causes.changed.append((file.name, file.day, seen[file.name][0], file.size))
    for name in sorted(seen.keys() - {file.name for file in files}):
        if not (settings.data_dir / name).exists():
            day = day_in_name(source, name)
            near = window is None or (
                day and window.start <= day and (day - window.end).days <= source.late(settings.late_days)
            )
            if near:
                causes.gone.append((name, day))


def _telling_columns(groups: Iterable[list[dict[str, Any]]]) -> list[str]:
    """The columns in which rows of one file and one key always differ: these are no restatements but finer rows."""
    candidates: set[str] | None = None
    for rows in groups:
        apart = set()
        for name in {name for row in rows for name in row} - {'_at'}:
            versions: dict[int, set[Any]] = {}
            for row in rows:
                versions.setdefault(row['_at'], set()).add(row.get(name))
            seen = [value for values in versions.values() for value in values]
            if len(set(seen)) == len(seen):
                apart.add(name)
        candidates = apart if candidates is None else candidates & apart
    return sorted(candidates or ())
