"""GA4's export where it stands: which of its tables a load reads, and the script that stages their rows.

Of a day the newest whole table is read, and again when Google has written it anew; what it lacks then is taken back
(docs/whole-days.md). Rows of a day may stand in the tables after it, too: where something may be taken back, these are read
as well, or nobody would know whether another table still has it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from kly_mage.common.errors import UsageError
from kly_mage.common.settings import Settings
from kly_mage.common.window import Window
from kly_mage.declared.base import Source
from kly_mage.declared.ga4_events import GA4_EVENTS, IDENTITY
from kly_mage.fetch.bigquery import Dataset, Remote
from kly_mage.fetch.ga4 import day_of, is_export
from kly_mage.landing.deliveries import delivery_of
from kly_mage.landing.files import LandingFile, is_delivery, table
from kly_mage.warehouse.announced import Announced
from kly_mage.warehouse.bigquery import persons, rules
from kly_mage.warehouse.bigquery.client import Client
from kly_mage.warehouse.bigquery.ga4_select import rows_of, selected
from kly_mage.warehouse.bigquery.ledger import read_as
from kly_mage.warehouse.bigquery.staging import Staged, staged_columns
from kly_mage.warehouse.bigquery.text import identifier
from kly_mage.warehouse.in_place import InPlace
from kly_mage.warehouse.request import Request

Into = Callable[[int, LandingFile, str], str]
"""The statement that keeps the rows of a query, which are those of the file of that number."""
_TABLES = 20  # read by one script, whose text may have a megabyte


def in_place(settings: Settings, source: Source) -> InPlace | None:
    """The tables of the data set, one a day; None if there is none, or the source is another one.

    Raises:
        FetchError: BigQuery refuses it.
        UsageError: there are files of the source, too.
    """
    if settings.ga4_dataset is None or source.name != GA4_EVENTS.name:
        return None
    folder = settings.data_dir / source.name
    if folder.is_dir() and any(is_delivery(path.name) for path in folder.iterdir()):
        raise UsageError(
            f'KLY_GA4_DATASET says that {source.name} come from BigQuery, and {folder} holds files of them: move '
            'these away, or leave KLY_GA4_DATASET out'
        )
    newest: dict[date, str] = {}
    for name in filter(is_export, Dataset(settings.ga4_dataset).tables()):
        day = day_of(name)
        if day and (day not in newest or _order(source, name) > _order(source, newest[day])):
            newest[day] = name
    return InPlace([table(source, name, day, settings.timezone) for day, name in sorted(newest.items())], list(IDENTITY))


def stage(settings: Settings, client: Client, request: Request, staging: str) -> tuple[Request, Staged]:
    """Stage the rows that a load takes of the tables it is asked for, and say what is known of them.

    Args:
        staging: the table to be made.

    Returns:
        The request with the tables as they are now, and what is known of the rows.
    """
    source, dataset = request.source, Dataset(settings.ga4_dataset or '')
    found = _chosen(settings, client, request, dataset)
    columns = [(name, kind) for name, kind, _ in staged_columns(source, request.undeclared)]
    made = ', '.join(f'{identifier(name)} {kind}' for name, kind in columns)
    filled = ', '.join(map(identifier, [*selected(source), *rules.staged(source)]))
    broken = ''.join(f', {each}' for each in rules.in_place(source))
    client.run(f'create table {staging} ({made})', what='stage')
    for at in range(0, len(found), _TABLES):
        rows = [_select(settings, source, request.window, dataset, *each) for each in found[at : at + _TABLES]]
        if broken:
            rows = [f'select staged.*{broken} from (\n{each}\n) as staged' for each in rows]
        client.run(''.join(f'insert into {staging} ({filled})\n{each};\n' for each in rows), what='stage')
    states = {file.name: remote.modified for file, remote in found}
    files = [replace(file, size=remote.bytes, modified_at=remote.modified) for file, remote in found]
    first, last = _utc_days(settings, request, files)
    deliveries = [file.name for file in files]
    return replace(request, files=files), Staged(
        columns, Announced(source, request.window), first, last, states, deliveries=deliveries
    )


def stage_all(
    settings: Settings, client: Client, source: Source, files: Sequence[LandingFile], window: Window | None, into: Into
) -> None:
    """Put the rows of all these tables into one that is there: what loads have left out as well.

    Args:
        into: may ask of a row whether it is of a person who was forgotten (``persons.with_owner``).
    """
    dataset, days = Dataset(settings.ga4_dataset or ''), window or Window(date.min, date.max)
    there = [(number, file, dataset.table(file.name)) for number, file in enumerate(files)]
    found = [(number, file, remote) for number, file, remote in there if remote]
    for at in range(0, len(found), _TABLES):
        rows = [
            into(n, file, _select(settings, source, days, dataset, file, table))
            for n, file, table in found[at : at + _TABLES]
        ]
        client.run(persons.asked(source) + ''.join(f'{each};\n' for each in rows), what='stage')


def _utc_days(settings: Settings, request: Request, files: list[LandingFile]) -> tuple[date | None, date | None]:
    """The days of the rows by UTC: those that the tables may hold and the load is asked for, or one beside them."""
    held = [day for file in files for day in file.days(settings.late_days) or () if day in request.window]
    return (min(held) - timedelta(days=1), max(held) + timedelta(days=1)) if held else (None, None)


def _chosen(settings: Settings, client: Client, request: Request, dataset: Dataset) -> list[tuple[LandingFile, Remote]]:
    """The tables that are read: those that loads have not taken; all, if rows of earlier ones may be taken back."""
    reads = read_as(client, request.source)
    loaded = {name: modified for name, modified, _ in reads}
    of_day = {day_of(name): name for name in loaded if is_export(name)}
    there = [(file, remote) for file in request.files if (remote := dataset.table(file.name)) is not None]
    new = [each for each in there if not _is_taken(settings, request, *each, reads)]
    is_corrected = any(
        of_day.get(file.day, file.name) != file.name or loaded.get(file.name, remote.modified) != remote.modified
        for file, remote in new
    )
    return there if is_corrected else new


def _is_taken(
    settings: Settings, request: Request, file: LandingFile, remote: Remote, reads: list[tuple[str, datetime, Window]]
) -> bool:
    """Whether loads have taken all rows of these days that a table holds: it is not read, and paid for, again."""
    may_hold = file.days(settings.late_days) or request.window
    taken = [days for name, modified, days in reads if (name, modified) == (file.name, remote.modified)]
    return all(any(day in days for days in taken) for day in may_hold if day in request.window)


def _select(settings: Settings, source: Source, days: Window, dataset: Dataset, file: LandingFile, remote: Remote) -> str:
    may_hold, own = file.days(settings.late_days), file.day
    assert may_hold  # as a table of an export has
    assert own
    return rows_of(
        source,
        '.'.join(map(identifier, (dataset.project, dataset.name, file.name))),
        remote.fields,
        file=file.name,
        delivered_at=f'{file.delivered_at:%Y-%m-%d %H:%M:%S}+00',
        days=days,
        may_hold=may_hold,
        own=own,
        timezone=settings.timezone,
        article=settings.ga4_article,
    )


def _order(source: Source, name: str) -> tuple[bool, int]:
    """Of the tables of a day the last one counts: whole ones before others."""
    delivery = delivery_of(source, name)
    return (delivery.is_complete, delivery.rank) if delivery else (False, -1)
