"""A bucket of Google Cloud Storage: which objects there are, and their bytes.

Google's library is an extra (requirements-bigquery.txt) and imported only by whoever comes here. It takes an emulator's
address from ``STORAGE_EMULATOR_HOST``.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kly_mage.common.errors import FetchError
from kly_mage.common.text import printable
from kly_mage.fetch.refusals import of_bucket, told

EMULATOR = 'STORAGE_EMULATOR_HOST'
CHUNK = 16 << 20
"""Bytes of an object that are asked for at once, and held."""

_SECONDS = 60.0  # that an answer may take, asked again where that may help
_SCOPES = ('https://www.googleapis.com/auth/devstorage.read_only',)
_FIELDS = 'items(name,size,generation,crc32c,timeCreated),prefixes,nextPageToken'


@dataclass(frozen=True)
class Remote:
    """An object as the bucket has it now.

    Attributes:
        bucket: the name of its bucket.
        name: its name there, as whoever wrote it chose.
        generation: what tells it from others that had or will have that name.
        crc32c: of its bytes, as Google writes it; None of what is encrypted with a key that Google does not know.
        created: when it came to be there as it is.
    """

    bucket: str
    name: str
    size: int
    generation: int
    crc32c: str | None
    created: datetime

    @property
    def url(self) -> str:
        """Its address, not fit to be shown before it is made ``printable``."""
        return f'gs://{self.bucket}/{self.name}'


class Bucket:
    """A bucket, from a prefix on.

    Args:
        url: ``gs://BUCKET/PREFIX``, or ``gs://BUCKET``.

    Raises:
        FetchError: the library or credentials are missing. Every method: Cloud Storage refuses what is asked, in one line.
    """

    def __init__(self, url: str) -> None:
        self.name, _, prefix = url.removeprefix('gs://').partition('/')
        self._prefix = f'{prefix.strip("/")}/' if prefix.strip('/') else ''
        self.url = f'gs://{self.name}/{self._prefix}'
        self._asked = of_bucket(self.name)
        try:
            from google.cloud import storage
            from google.cloud.storage.retry import DEFAULT_RETRY
        except ImportError as error:
            raise FetchError(
                f"Google's libraries are not installed ({printable(str(error), 80)}): make .venv/bigquery"
            ) from None
        self._patience = {'timeout': _SECONDS, 'retry': DEFAULT_RETRY.with_timeout(_SECONDS)}
        with told(self._asked):
            # No project is needed to read: the bucket's own pays.
            self._client = storage.Client(project=None, credentials=_credentials())

    def inside(self, folder: str = '') -> tuple[list[Remote], list[str]]:
        """What is directly in a folder below the prefix: objects, and the names of the folders, with ``/`` at their ends.

        Args:
            folder: '' for what is at the prefix itself, else with ``/`` at its end.
        """
        at = self._prefix + folder
        with told(self._asked):
            found = self._client.list_blobs(self.name, prefix=at, delimiter='/', fields=_FIELDS, **self._patience)
            objects = [
                Remote(self.name, each.name, each.size, each.generation, each.crc32c, each.time_created) for each in found
            ]
            return objects, sorted(inner.removeprefix(at) for inner in found.prefixes)

    def bytes(self, remote: Remote, start: int) -> Iterator[bytes]:
        """An object's bytes from a place on, as they are stored, of this generation and no other.

        Raises:
            FetchError: it is not there any more.
        """
        from google.api_core.exceptions import NotFound

        blob = self._client.bucket(self.name).blob(remote.name, generation=remote.generation)
        for at in range(start, remote.size, CHUNK):
            with told(self._asked):
                try:
                    yield blob.download_as_bytes(
                        start=at,
                        end=min(at + CHUNK, remote.size) - 1,
                        raw_download=True,
                        checksum=None,  # that of the whole object counts
                        **self._patience,
                    )
                except NotFound:
                    shown = printable(remote.url, 300)
                    raise FetchError(f'{shown} was replaced or deleted while it was fetched: fetch it again') from None


def _credentials() -> Any:
    """Those of this machine, as Google's library looks for them, to read and nothing else."""
    import google.auth
    from google.auth.credentials import AnonymousCredentials

    return AnonymousCredentials() if os.environ.get(EMULATOR) else google.auth.default(scopes=_SCOPES)[0]
