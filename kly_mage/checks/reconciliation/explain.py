"""The causes behind the counts: which files, lines and rows the findings name."""

from collections.abc import Iterable
from typing import Any

from kly_mage.checks.reconciliation.model import DAMAGED, Causes, Line
from kly_mage.checks.reconciliation.read import Reading
from kly_mage.landing.files import LandingFile, day_in_name
from kly_mage.warehouse.postgres import explanation, latest, which_counts
from kly_mage.warehouse.postgres.comparison import Comparison


def explain(of: Comparison, reading: Reading, lines: Iterable[Line]) -> Causes:
    """What the findings of one source say beyond the counts."""
    causes, files = Causes(of.source.name, unreadable=reading.unreadable), reading.files
    counted = {place for line in lines for place, rows in line.rows.items() if rows}
    causes.covered = explanation.days_asked_for(of)
    missing = explanation.missing_by_file(of) if {'not_loaded', 'outside'} & counted else []
    for place, number, rows, first, last, line in missing:
        file = files[number]
        if place == 'not_loaded':
            causes.not_loaded.append((file.name, file.day, rows, first, last))
        elif file.day:
            causes.outside.append((file.name, file.day, rows, first, last, line))
    damaged = explanation.damaged(of, DAMAGED) if {'lost', 'changed'} & counted else []
    for place, day, number, line, row in damaged:
        causes.damaged.setdefault(place, []).append((day, files[number].name, line, row))
    if 'in_no_file' in counted:
        for day, row, is_registered in explanation.in_no_file(of, DAMAGED):
            causes.damaged.setdefault('in_no_file', []).append((day, None, None, row))
            if not is_registered:
                causes.damaged.setdefault('unregistered', []).append((day, None, None, row))
    named = {row for rows in causes.damaged.values() for *_, row in rows}
    if others := [(day, None, None, row) for day, row in which_counts.not_the_newest(of, DAMAGED) if row not in named]:
        causes.damaged['restated'] = [*others]
    versions = [
        *latest.not_the_latest(of, DAMAGED),
        *which_counts.not_the_first(of, [file.name for file in files], DAMAGED),
    ]
    if versions := [version for version in versions if version[-1] not in named]:
        causes.damaged['restated'] = [(day, files[number].name, line, row) for day, number, line, row in versions]
    _explain_files(of, files, causes)
    causes.uncounted = explanation.waiting_for_refresh(of)
    causes.stale_rejects = explanation.stale_rejects(of, [file.name for file in files])
    if 'conflict_same_file' in counted:
        causes.same_file = _telling_columns(explanation.conflicting_in_one_file(of))
    return causes


def _explain_files(of: Comparison, files: list[LandingFile], causes: Causes) -> None:
    """Files that have changed since a load read them, and files that are gone."""
    seen = explanation.files_as_loaded(of)
    for file in files:
        if file.name in seen and seen[file.name] != (file.size, file.modified_at):
            causes.changed.append((file.name, file.day, seen[file.name][0], file.size))
    for name in sorted(seen.keys() - {file.name for file in files}):
        if not (of.settings.data_dir / name).exists():
            day = day_in_name(of.source, name)
            near = of.window is None or (
                day and of.window.start <= day and (day - of.window.end).days <= of.source.late(of.settings.late_days)
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
