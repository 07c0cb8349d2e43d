"""Jobs of BigQuery: who asks, under which name and cap, what is tried again, and what is refused in words."""

import logging
import os
import random
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any

from kly_mage.common.errors import KlyError, SettingsError, UnreachableError, WarehouseError, first_line
from kly_mage.common.settings import Settings
from kly_mage.fetch.refusals import Asked, is_in_the_way, refusal
from kly_mage.warehouse.bigquery.deadline import ANSWER_SECONDS, Deadline
from kly_mage.warehouse.bigquery.text import DATA_SETS, here, placed, there

logger = logging.getLogger('kly_mage')
EMULATOR = 'BIGQUERY_EMULATOR_HOST'
TRIES = 8
_OWNER, _CAP = 'BigQuery Data Owner (roles/bigquery.dataOwner)', 'KLY_BIGQUERY_MAX_BYTES'
_REGION = 'KLY_BIGQUERY_LOCATION has to name where they are, from the first load on'
_NAMES = 'set KLY_BIGQUERY_PROJECT to the id of the project, as the Google Cloud console shows it'
STOP_SECONDS = 30  # to a job that is stopped


@dataclass(frozen=True)
class Job:
    """What BigQuery says of a job that has run: its ``what``, bytes, and milliseconds of a slot; 0 where it says nothing."""

    what: str
    bytes: int
    billed: int
    slot: int


class Client:
    """BigQuery, as the settings name it.

    Raises:
        SettingsError: no project is named, or Google's library is not installed.
        WarehouseError: there are no credentials.
    """

    def __init__(self, settings: Settings) -> None:
        if not settings.bigquery_project:
            raise SettingsError('KLY_WAREHOUSE=bigquery needs KLY_BIGQUERY_PROJECT, the project that holds the data sets')
        try:
            from google.auth.credentials import AnonymousCredentials
            from google.cloud import bigquery
        except ImportError:
            raise SettingsError(
                "KLY_WAREHOUSE=bigquery needs Google's library: make install KLY_WAREHOUSE=bigquery, or install what "
                'requirements-bigquery.txt names'
            ) from None
        self._library, self._settings = bigquery, settings
        names = ', '.join(f'{settings.bigquery_prefix}{name}' for name in DATA_SETS)
        self._asked = Asked(
            *(settings.bigquery_project, f'the data sets {names}', _OWNER, _NAMES, _CAP, _REGION),
            own=True,
            reads=settings.ga4_dataset,
        )
        known: dict[str, Any] = {'project': settings.bigquery_project, 'location': settings.bigquery_location}
        if os.environ.get(EMULATOR):
            known |= {'credentials': AnonymousCredentials(), 'client_options': {'api_endpoint': os.environ[EMULATOR]}}
        self._spent: list[Job] = []
        self._deadline = Deadline()
        try:
            self._client = bigquery.Client(**known)
        except Exception as error:  # noqa: BLE001 -- what is none of Google's is raised as it is
            raise self._told(error) from None

    def within(self, seconds: float) -> 'Client':
        """This client for one question: with all that is tried again for it, it has an answer by then, or is given up.

        A job that is at work then is stopped. It takes along how long it may run: if this process has ended before, BigQuery
        stops it, as a rule.
        """
        asked = copy(self)
        asked._spent, asked._deadline = [], Deadline(seconds)
        return asked

    def run(
        self, text: str, values: dict[str, Any] | None = None, *, what: str, name: str | None = None
    ) -> list[dict[str, Any]]:
        """Run a query or a script; again, after a while, if another transaction was in the way.

        Args:
            text: a script that changes something does so in one transaction.
            values: its parameters: texts, numbers, days and moments, or lists of texts; nothing is a text.
            what: a word for the job's name and label.
            name: with the number of the try it ends the job's name; BigQuery runs a name once. Else nobody else has it.

        Returns:
            The rows of the last SELECT.
        """
        found: list[dict[str, Any]] = self._rows(
            lambda rows: [{here(name): value for name, value in row.items()} for row in self._walked(rows)],
            *(text, values),
            what=what,
            name=name,
        )
        return found

    def stream(self, text: str, values: dict[str, Any] | None = None, *, what: str) -> tuple[dict[str, str], Iterator[Any]]:
        """Run a query whose rows need not fit into memory.

        Returns:
            The columns of the rows and their types, and the rows, as they come.
        """
        found = self._rows(lambda rows: rows, text, values, what=what)
        return {field.name: field.field_type for field in found.schema}, self._walked(found)

    def _walked(self, found: Any) -> Iterator[Any]:
        try:
            for row in found:
                self._deadline.check()
                yield row
        except KlyError:
            raise
        except Exception as error:
            raise self._told(error) from error

    def _rows(
        self,
        take: Callable[[Any], Any],
        text: str,
        values: dict[str, Any] | None,
        *,
        what: str,
        name: str | None = None,
    ) -> Any:
        config = self._library.QueryJobConfig(
            query_parameters=[self._parameter(name, value) for name, value in (values or {}).items()],
            maximum_bytes_billed=self._settings.bigquery_max_bytes,
            labels=_labels(what),
        )
        sent, name = placed(text, self._settings.bigquery_prefix), name or uuid.uuid4().hex
        for attempt in range(1, TRIES + 1):
            self._deadline.check()
            left = self._deadline.left
            config.job_timeout_ms = None if left is None else max(1, int(1000 * left))
            known: dict[str, Any] = {'job_id': f'{self.job_prefix}{what}_{name}_{attempt}', **self._deadline.waiting()}
            ask = partial(self._client.query, sent, job_config=config, job_retry=None, **known)
            try:
                waiting = {} if left is None else self._deadline.waiting()
                return take(self._finished(known['job_id'], ask, job_retry=None, **waiting))
            except KlyError:
                raise
            except Exception as error:
                if attempt == TRIES or not is_in_the_way(str(error)):
                    raise self._told(error) from error
                seconds = random.uniform(0.5, 1.5) * min(2 ** (attempt - 1), 30)  # noqa: S311 -- so that two do not meet again
                logger.warning('another transaction was in the way of %s; trying again in %.1f s', what, seconds)
                self._deadline.pause(seconds)
        raise AssertionError  # the last turn returns or raises

    def load(self, path: Path, table: str, columns: Sequence[tuple[str, str]], name: str) -> None:
        """Put a Parquet file into a table that is made for it.

        Args:
            path: its columns are called as they are ``there``.
            columns: name and type of each.
            name: ends the name of the job.
        """
        known: dict[str, Any] = {'job_id': f'{self.job_prefix}{name}', 'timeout': ANSWER_SECONDS}
        config = self._library.LoadJobConfig(  # nobody pays for it, and it takes no cap
            source_format='PARQUET',
            schema=[self._library.SchemaField(there(column), kind) for column, kind in columns],
            write_disposition='WRITE_TRUNCATE',
            labels=_labels('stage'),
        )
        try:
            with path.open('rb') as file:
                ask = partial(self._client.load_table_from_file, file, self._full(table), job_config=config, **known)
                self._finished(known['job_id'], ask)
        except Exception as error:
            raise self._told(error) from error

    def has(self, table: str) -> bool:
        """Whether a table is there."""
        from google.api_core.exceptions import NotFound

        try:
            self._client.get_table(self._full(table), **self._deadline.waiting())
        except NotFound as error:
            if 'Not found: Project' in str(error):
                raise self._told(error) from error
            return False
        except Exception as error:
            raise self._told(error) from error
        return True

    def columns(self, table: str) -> set[str]:
        """The names of a table's columns, in lower case: BigQuery does not tell `a` from `A`."""
        return {name.lower() for name in self.column_names(table)}

    def column_names(self, table: str) -> list[str]:
        """The names of a table's columns, as they are spelled."""
        try:
            found = self._client.get_table(self._full(table), timeout=ANSWER_SECONDS).schema
            return [here(field.name) for field in found]
        except Exception as error:
            raise self._told(error) from error

    def tables(self, data_set: str) -> list[str]:
        """The names of the tables in a data set of ours."""
        try:
            found = self._client.list_tables(f'{self._settings.bigquery_prefix}{data_set}', timeout=ANSWER_SECONDS)
            return [table.table_id for table in found]
        except Exception as error:
            raise self._told(error) from error

    def drop(self, table: str) -> None:
        """Drop a staged table; if that fails, it goes by itself within a day."""
        try:
            self._client.delete_table(self._full(table), not_found_ok=True, timeout=ANSWER_SECONDS)
        except Exception as error:  # noqa: BLE001 -- what stays there expires
            logger.warning('%s stays until it expires: %s', table, first_line(error))

    def drop_everything(self) -> None:
        """Drop the data sets with all that is in them.

        Raises:
            ValueError: they have no prefix, so they are nobody's to throw away.
        """
        if not self._settings.bigquery_prefix:
            raise ValueError(DATA_SETS)
        refused: Exception | None = None
        for name in DATA_SETS:
            name = f'{self._settings.bigquery_prefix}{name}'
            try:
                self._client.delete_dataset(name, delete_contents=True, not_found_ok=True, timeout=ANSWER_SECONDS)
            except Exception as error:  # noqa: BLE001 -- the others go all the same
                refused = refused or error
        if refused:
            raise self._told(refused) from refused

    def jobs(self, since: datetime) -> list[Job]:
        """The jobs with our prefix that were begun since then, as BigQuery lists them."""
        try:
            found = self._client.list_jobs(min_creation_time=since, timeout=ANSWER_SECONDS)
            return [_job(each, self.job_prefix) for each in found if each.job_id.startswith(self.job_prefix)]
        except Exception as error:
            raise self._told(error) from error

    def names_at_work(self) -> list[str]:
        """The names of the jobs with our prefix that are at work, or wait for their turn."""
        try:
            found = [
                each.job_id
                for state in ('running', 'pending')
                for each in self._client.list_jobs(state_filter=state, timeout=ANSWER_SECONDS)
            ]
        except Exception as error:
            raise self._told(error) from error
        return [name for name in found if name.startswith(self.job_prefix)]

    def spent(self) -> list[Job]:
        """The jobs that have run since somebody asked last."""
        found, self._spent = self._spent, []
        return found

    @property
    def job_prefix(self) -> str:
        """How the names of jobs begin."""
        return f'kly_mage_{self._settings.bigquery_prefix}'

    def _finished(self, name: str, ask: Callable[[], Any], **waiting: Any) -> Any:
        """The result of a job, which is not left behind at work: who is interrupted while he waits stops it first."""
        from google.api_core.exceptions import Conflict

        try:
            with self._deadline.ending(partial(self._stop, name), self._is_no_answer):
                try:
                    job = ask()
                except Conflict:  # it is there: the answer was lost, and Google's library has asked again
                    job = self._client.get_job(name, **self._deadline.waiting())
                try:
                    return job.result(**waiting)
                finally:  # what it has read is billed, whatever has become of it
                    self._spent.append(_job(job, self.job_prefix))
        except BaseException as error:
            if not isinstance(error, Exception):
                self._stop(name)
            raise

    def _stop(self, name: str) -> None:
        """Stop a job, and wait until it has ended: what it does is done whole by then, or not at all."""
        from google.api_core.exceptions import NotFound

        try:
            stopping = Deadline(STOP_SECONDS)
            job = self._client.cancel_job(name, **stopping.waiting())
            while not job.done(**stopping.waiting()) and stopping.left:
                time.sleep(0.2)
        except NotFound:  # it never came to be
            return
        except Exception as error:  # noqa: BLE001 -- whoever interrupts hears of that, not of this
            logger.warning('the job %s could not be stopped (%s); it ends whole or not at all', name, first_line(error))

    def _full(self, table: str) -> str:
        return f'{self._client.project}.{self._settings.bigquery_prefix}{table}'

    def _parameter(self, name: str, value: Any) -> Any:
        if isinstance(value, list):
            return self._library.ArrayQueryParameter(name, 'STRING', value)
        kinds: list[tuple[type, str]] = [(str, 'STRING'), (int, 'INT64'), (datetime, 'TIMESTAMP'), (date, 'DATE')]
        kind = next((kind for of, kind in kinds if isinstance(value, of)), 'STRING')  # a moment is a date as well
        return self._library.ScalarQueryParameter(name, kind, value)

    def _is_no_answer(self, error: Exception) -> bool:
        return not is_in_the_way(str(error)) and isinstance(self._told(error), UnreachableError)

    def _told(self, error: Exception) -> Exception:
        """The error as one line with its remedy; as it is, if it is none of Google's."""
        found = refusal(error, self._asked)
        if found is None:
            return error
        return UnreachableError(found.text) if found.passes else WarehouseError(found.text)


def _job(found: Any, prefix: str) -> Job:
    what = found.job_id.removeprefix(prefix).partition('_')[0]
    numbers = (getattr(found, name, None) or 0 for name in ('total_bytes_processed', 'total_bytes_billed', 'slot_millis'))
    return Job(what, *numbers)


def _labels(what: str) -> dict[str, str]:
    return {'tool': 'kly_mage', 'what': what.lower()}
