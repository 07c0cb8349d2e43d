"""The accounts of a reconciliation (``warehouse/account.py``) in PostgreSQL: what each question is answered by."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from psycopg2.extensions import connection as Connection

from kly_mage.common.settings import Settings
from kly_mage.common.window import Window
from kly_mage.declared.base import Source
from kly_mage.landing.files import LandingFile
from kly_mage.rows.persons import Forgotten
from kly_mage.warehouse.account import NAMED, Amiss, Count, Missing
from kly_mage.warehouse.postgres import deliveries, explanation, file_checks, forgotten, holdings, latest, which_counts
from kly_mage.warehouse.postgres.comparison import Comparison, one_at_a_time
from kly_mage.warehouse.postgres.ddl import ensure_schema


@contextmanager
def accounts(settings: Settings) -> Iterator['Accounts']:
    """A reconciliation; a second one waits until it ends.

    Args:
        settings: with a host (``server.server``).
    """
    ensure_schema(settings)
    with one_at_a_time(settings) as connection:
        yield Accounts(connection, settings)


class Accounts:
    """A reconciliation over one connection."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self._connection, self._settings = connection, settings

    def account(self, source: Source, files: Sequence[LandingFile], window: Window | None) -> 'Account':
        return Account(Comparison(self._connection, self._settings, source, window), files)

    def facts(self, sources: Collection[str], window: Window | None) -> dict[tuple[str, date | None], dict[str, Any]]:
        return file_checks.facts(self._connection, list(sources), window)

    def days(self, window: Window | None) -> dict[str, dict[date, dict[str, Decimal]]]:
        return file_checks.days(self._connection, window)


class Account:
    """One source: its temporary tables, and the questions over them."""

    def __init__(self, comparison: Comparison, files: Sequence[LandingFile]) -> None:
        self._of, self._files = comparison, files
        self._in_force = deliveries.InForce(comparison.settings, comparison.source)
        self.put, self.put_rejects, self.leave_out = comparison.put, comparison.put_rejects, comparison.leave_out
        self.place, self.close = comparison.find, comparison.close
        self.delivered, self.same_file = comparison.delivered, comparison.same_file
        self.waiting, self.gold = comparison.waiting, comparison.gold

    def persons(self) -> Forgotten | None:
        return forgotten.persons(self._of.cursor, self._of.source)

    def days_of_newer(self, file: str) -> list[date]:
        return self._in_force.days_of_newer(file)

    def settle(self) -> None:
        which_counts.settle(self._of)

    def rejects(self) -> Iterator[Count]:
        return self._of.rejects(self._of.mart.money if self._of.mart else None)

    def stored(self) -> Iterator[Count]:
        yield from holdings.stored(self._of)
        yield from holdings.earlier(self._of)

    def in_no_file(self) -> Iterator[Count]:
        return holdings.in_no_file(self._of)

    def lateness(self) -> list[tuple[date, int, int]]:
        return explanation.lateness(self._of, [file.day for file in self._files])

    def days_asked_for(self) -> set[date]:
        return explanation.days_asked_for(self._of)

    def missing(self) -> list[Missing]:
        return explanation.missing_by_file(self._of)

    def damaged(self) -> list[Amiss]:
        return explanation.damaged(self._of, NAMED)

    def unsourced(self) -> list[tuple[date | None, str, bool]]:
        return explanation.in_no_file(self._of, NAMED)

    def not_the_newest(self) -> list[tuple[date | None, str]]:
        return which_counts.not_the_newest(self._of, NAMED)

    def other_versions(self) -> list[Amiss]:
        first = which_counts.not_the_first(self._of, [file.name for file in self._files], NAMED)
        return [Amiss('restated', *found) for found in [*latest.not_the_latest(self._of, NAMED), *first]]

    def files_as_loaded(self) -> dict[str, tuple[int, datetime]]:
        return explanation.files_as_loaded(self._of)

    def waiting_for_refresh(self) -> int:
        return explanation.waiting_for_refresh(self._of)

    def stale_rejects(self) -> int:
        return explanation.stale_rejects(self._of, [file.name for file in self._files])

    def conflicting_in_one_file(self) -> Iterator[list[dict[str, Any]]]:
        return explanation.conflicting_in_one_file(self._of)

    def keep(self, records: list[dict[str, object]]) -> None:
        file_checks.keep(self._of, records)
