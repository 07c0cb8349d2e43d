"""Tables of BigQuery: which there are, and their rows, as Arrow, through the Storage Read API.

Google's libraries are an extra (requirements-bigquery.txt) and imported only by whoever comes here.
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from kly_mage.common.errors import FetchError
from kly_mage.common.redaction import redacted
from kly_mage.common.text import printable

STORAGE_EMULATOR = 'BIGQUERY_STORAGE_EMULATOR_HOST'
"""Host and port of an emulator of the Storage Read API; that of the rest is Google's own ``BIGQUERY_EMULATOR_HOST``."""

_SECONDS = 60.0  # that an answer may take, asked again where that may help
_PAGE = 1_000  # tables named at once
_SCOPES = ('https://www.googleapis.com/auth/bigquery',)
_LIMITS = ('TooManyRequests', 'ResourceExhausted')
_ROLES = (
    ('readsessions', 'BigQuery Read Session User (roles/bigquery.readSessionUser) on the project {0}'),
    ('', 'BigQuery Data Viewer (roles/bigquery.dataViewer) on the data set {0}.{1}'),
)


@dataclass(frozen=True)
class Remote:
    """A table as BigQuery has it now.

    Attributes:
        modified: when its rows were last changed.
        bytes: of its rows, those that have just been streamed in too: what reading all of it is billed as.
        rows: without those that have just been streamed in.
        is_streaming: whether rows are still on their way into it.
        fields: its columns, and the fields inside of them behind points.
    """

    name: str
    modified: datetime
    bytes: int
    rows: int
    is_streaming: bool
    fields: frozenset[str] = frozenset()


class Dataset:
    """A data set, ``PROJECT.NAME``; the project also pays for what is read.

    Raises:
        FetchError: the libraries or credentials are missing. Every method: BigQuery refuses what is asked, in one line.
    """

    def __init__(self, full_name: str) -> None:
        self.project, _, self.name = full_name.rpartition('.')
        os.environ.setdefault('GRPC_VERBOSITY', 'NONE')  # or it writes to the terminal by itself
        try:
            from google.cloud import bigquery
        except ImportError as error:
            raise FetchError(
                f"Google's libraries are not installed ({printable(str(error), 80)}): make .venv/bigquery"
            ) from None
        with self._told():
            self._credentials = _credentials()
            self._patience = {'timeout': _SECONDS, 'retry': bigquery.DEFAULT_RETRY.with_timeout(_SECONDS)}
            self._client = bigquery.Client(project=self.project, credentials=self._credentials)

    @cached_property
    def _storage(self) -> Any:
        from google.cloud import bigquery_storage_v1

        return bigquery_storage_v1.BigQueryReadClient(**(_emulator() or {'credentials': self._credentials}))

    def tables(self) -> list[str]:
        """The names of its tables."""
        with self._told():
            found = self._client.list_tables(f'{self.project}.{self.name}', page_size=_PAGE, **self._patience)
            return [table.table_id for table in found if table.table_type == 'TABLE']

    def table(self, name: str) -> Remote | None:
        """What there is to know of a table; None if it has gone."""
        from google.api_core.exceptions import NotFound

        with self._told():
            try:
                found = self._client.get_table(f'{self.project}.{self.name}.{name}', **self._patience)
            except NotFound:
                return None
        streaming = found.streaming_buffer
        size = (found.num_bytes or 0) + (streaming.estimated_bytes or 0 if streaming else 0)
        return Remote(name, found.modified, size, found.num_rows or 0, bool(streaming), frozenset(_places(found.schema)))

    def rows(self, name: str) -> tuple[Any, Iterator[Any]]:
        """The schema of a table, and all its rows as they are now, in batches of Arrow."""
        import pyarrow as pa

        path = f'projects/{self.project}/datasets/{self.name}/tables/{name}'
        with self._told():
            session = self._storage.create_read_session(
                parent=f'projects/{self.project}',
                read_session={'table': path, 'data_format': 'ARROW'},
                max_stream_count=1,
                timeout=_SECONDS,
            )
        schema = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))
        return schema, self._batches(session)

    def _batches(self, session: Any) -> Iterator[Any]:
        with self._told():
            for stream in session.streams:
                for page in self._storage.read_rows(stream.name).rows(session).pages:
                    yield page.to_arrow()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What Google's libraries raise, in one line with what to do about it."""
        from google.api_core import exceptions as api
        from google.auth import exceptions as auth

        try:
            yield
        except auth.DefaultCredentialsError:
            raise FetchError(
                'no credentials for Google Cloud: run `gcloud auth application-default login`, or let '
                'GOOGLE_APPLICATION_CREDENTIALS name the key file of a service account'
            ) from None
        except auth.RefreshError as error:
            raise FetchError(f'Google refuses the credentials ({_said(error)}): sign in again, or make a new key') from None
        except auth.GoogleAuthError as error:
            raise FetchError(f'Google cannot be asked for access ({_said(error)}): is there a network?') from None
        except (api.Forbidden, api.Unauthorized, api.TooManyRequests) as error:
            raise FetchError(refused(self.project, self.name, type(error).__name__, _said(error))) from None
        except api.NotFound as error:
            raise FetchError(
                f'{self.project}.{self.name} is not there ({_said(error)}): KLY_GA4_DATASET is PROJECT.analytics_NUMBER, '
                "as GA4's admin pages name it under BigQuery links"
            ) from None
        except (api.GoogleAPIError, ConnectionError) as error:
            raise FetchError(f'BigQuery does not answer as it should ({_said(error)}): try it again later') from None


def _places(fields: Iterable[Any], before: str = '') -> Iterator[str]:
    for field in fields:
        yield before + field.name
        yield from _places(field.fields, f'{before}{field.name}.')


def refused(project: str, dataset: str, kind: str, said: str) -> str:
    """What to do about an answer that is a refusal.

    Args:
        kind: the name of the error.
        said: what Google says of it.
    """
    if kind in _LIMITS or re.search(r'quota|rate.?limit', said, re.IGNORECASE):
        return f'a quota of the project {project} is used up ({said}): try it again later, or have it raised'
    if re.search(r'has not been used|is disabled', said):
        return f'an API of the project {project} is off ({said}): enable the BigQuery API and the BigQuery Storage API'
    role = next(role for right, role in _ROLES if right in said.lower()).format(project, dataset)
    return f'not allowed ({said}): the account needs {role}'


def _said(error: BaseException) -> str:
    """An error in a few words, on one line, without what nobody else may know."""
    text = str(getattr(error, 'message', None) or error or type(error).__name__)
    return printable(redacted(' '.join(re.sub(r'^[A-Z]+ https?://\S+: ', '', text).split())), 200)


def _credentials() -> Any:
    """Those of this machine, as Google's libraries look for them."""
    import google.auth
    from google.auth.credentials import AnonymousCredentials

    return AnonymousCredentials() if os.environ.get(STORAGE_EMULATOR) else google.auth.default(scopes=_SCOPES)[0]


def _emulator() -> dict[str, Any]:
    """What makes a client of the Storage Read API one of an emulator; nothing if none is named."""
    if not os.environ.get(STORAGE_EMULATOR):
        return {}
    import grpc
    from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

    return {'transport': BigQueryReadGrpcTransport(channel=grpc.insecure_channel(os.environ[STORAGE_EMULATOR]))}
