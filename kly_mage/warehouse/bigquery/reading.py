"""Reading and nothing else: what pages ask of BigQuery. It makes no table, and the queries in ``queries/`` change none."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from kly_mage.common.errors import UsageError
from kly_mage.common.settings import Settings
from kly_mage.declared.marts import DAILY_SUMMARY, Joined, Mart
from kly_mage.warehouse import patience
from kly_mage.warehouse.bigquery import fixed, gold
from kly_mage.warehouse.bigquery.client import Client
from kly_mage.warehouse.gold import Asked, Found, Table

QUERIES = Path(__file__).parent / 'queries'
_WHAT = 'dashboard'  # labels the jobs
_ALL = 10**15  # lines: a limit has to be a number
_RATIOS = {ratio.name for ratio in DAILY_SUMMARY.ratios}


class Reader:
    """The warehouse as pages see it (``warehouse/base.py``)."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._client, self._is_there = settings, Client(settings), False

    def query(self, name: str, values: Mapping[str, Any]) -> Table:
        bound = dict(values)
        if bound.get('limit', _ALL) is None:
            bound['limit'] = _ALL
        kinds, rows = self._asked().stream(query(name), bound, what=_WHAT)
        return Table(list(kinds), [gold.plain(row, _RATIOS) for row in rows])

    def look_up(self, table: Joined | Mart, asked: Asked) -> Found | None:
        return gold.look_up(self._asked(), table, asked, _WHAT)

    def _asked(self) -> Client:
        """The client for one question, once all tables are there. What it costs is not kept: who looks on writes nothing."""
        client = self._client.within(patience.SECONDS)
        if not self._is_there:
            fixed.look(client, self._settings)
            self._is_there = True
        return client


@cache
def reader(settings: Settings) -> Reader:
    """The reader of a project: it asks once whether the tables are there."""
    return Reader(settings)


@cache
def query(name: str) -> str:
    """The text of ``queries/NAME.sql``.

    Raises:
        UsageError: there is none yet.
    """
    path = QUERIES / f'{name}.sql'
    if not path.is_file():
        raise UsageError('This is drawn of PostgreSQL (KLY_WAREHOUSE=postgres), not of BigQuery yet.')
    return path.read_text('utf-8')
