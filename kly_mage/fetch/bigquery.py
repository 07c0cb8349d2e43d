"""Tables of BigQuery: which there are, and their rows, as Arrow, through the Storage Read API.

Google's libraries are an extra (requirements-bigquery.txt) and imported only by whoever comes here.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from kly_mage.common.errors import FetchError
from kly_mage.common.text import printable
from kly_mage.fetch.refusals import of_export, told

STORAGE_EMULATOR = 'BIGQUERY_STORAGE_EMULATOR_HOST'
"""Host and port of an emulator of the Storage Read API; that of the rest is Google's own ``BIGQUERY_EMULATOR_HOST``."""

_SECONDS = 60.0  # that an answer may take, asked again where that may help
_PAGE = 1_000  # tables named at once
_REGION = 'tables are read where they are, so ask from a project that may use that region'
_SCOPES = ('https://www.googleapis.com/auth/bigquery',)


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
        self._asked = of_export(full_name, '--max-bytes or KLY_FETCH_MAX_BYTES', _REGION)
        os.environ.setdefault('GRPC_VERBOSITY', 'NONE')  # or it writes to the terminal by itself
        try:
            from google.cloud import bigquery
        except ImportError as error:
            raise FetchError(
                f"Google's libraries are not installed ({printable(str(error), 80)}): make .venv/bigquery"
            ) from None
        with told(self._asked):
            self._credentials = _credentials()
            self._patience = {'timeout': _SECONDS, 'retry': bigquery.DEFAULT_RETRY.with_timeout(_SECONDS)}
            self._client = bigquery.Client(project=self.project, credentials=self._credentials)

    @cached_property
    def _storage(self) -> Any:
        from google.cloud import bigquery_storage_v1

        return bigquery_storage_v1.BigQueryReadClient(**(_emulator() or {'credentials': self._credentials}))

    def tables(self) -> list[str]:
        """The names of its tables."""
        with told(self._asked):
            found = self._client.list_tables(f'{self.project}.{self.name}', page_size=_PAGE, **self._patience)
            return [table.table_id for table in found if table.table_type == 'TABLE']

    def table(self, name: str) -> Remote | None:
        """What there is to know of a table; None if it has gone."""
        from google.api_core.exceptions import NotFound

        with told(self._asked):
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
        with told(self._asked):
            session = self._storage.create_read_session(
                parent=f'projects/{self.project}',
                read_session={'table': path, 'data_format': 'ARROW'},
                max_stream_count=1,
                timeout=_SECONDS,
            )
        schema = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))
        return schema, self._batches(session)

    def _batches(self, session: Any) -> Iterator[Any]:
        with told(self._asked):
            for stream in session.streams:
                for page in self._storage.read_rows(stream.name).rows(session).pages:
                    yield page.to_arrow()


def _places(fields: Iterable[Any], before: str = '') -> Iterator[str]:
    for field in fields:
        yield before + field.name
        yield from _places(field.fields, f'{before}{field.name}.')


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
