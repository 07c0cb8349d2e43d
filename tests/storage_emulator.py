"""An emulator of Google Cloud Storage for tests: PyPI's ``gcp-storage-emulator``, as a process of its own.

It keeps objects in memory, with generations and checksums, and answers ranges. It has one generation of each, never pages,
and asks nobody who he is: refusals are made by servers of ours in Google's words. It takes no names with ``..`` in them and
no empty objects: those are given by buckets of ours.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import quote

from tests.bigquery_emulator import built, uv
from tests.ports import free_port

EMULATOR, CHECKSUMS = '2026.7.19', '1.9.0'
BUCKET = 'shop-exports'


class Storage:
    """The emulator, with one bucket; ``address`` is what ``STORAGE_EMULATOR_HOST`` takes."""

    def __init__(self, address: str) -> None:
        self.address = address

    def put(self, name: str, content: bytes) -> None:
        """Write an object."""
        self._ask('POST', f'/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={quote(name, safe="")}', content)

    def delete(self, name: str) -> None:
        """Take an object out."""
        self._ask('DELETE', f'/storage/v1/b/{BUCKET}/o/{quote(name, safe="")}')

    def empty(self) -> None:
        """Take all objects out."""
        self._ask('GET', '/wipe?keep-buckets=true')

    def generation(self, name: str) -> int:
        """Of the state that an object has now."""
        return int(json.loads(self._ask('GET', f'/storage/v1/b/{BUCKET}/o/{quote(name, safe="")}'))['generation'])

    def _ask(self, method: str, path: str, content: bytes | None = None) -> bytes:
        request = urllib.request.Request(f'{self.address}{path}', content, method=method)
        request.add_header('Content-Type', 'application/octet-stream')
        with urllib.request.urlopen(request, timeout=30) as answer:
            return bytes(answer.read())


@contextmanager
def storage_emulator() -> Iterator[Storage]:
    """An empty bucket."""
    packages = (f'gcp-storage-emulator=={EMULATOR}', f'google-crc32c=={CHECKSUMS}')
    home = built(
        f'gcp-storage-emulator-{EMULATOR}',
        lambda folder: uv('pip', 'install', '--no-deps', '--python', sys.executable, '--target', str(folder), *packages),
    )
    port = free_port()
    command = ['-m', 'gcp_storage_emulator', 'start', '--in-memory', '--quiet', '--host', '127.0.0.1', '--port', str(port)]
    with tempfile.TemporaryDirectory(prefix='kly-storage-') as folder, Path(folder, 'log').open('wb') as log:
        process = subprocess.Popen(
            [sys.executable, *command, '--default-bucket', BUCKET],
            cwd=folder,
            env={**os.environ, 'PYTHONPATH': str(home)},
            stdout=log,
            stderr=log,
        )
        try:
            _wait(process, f'http://127.0.0.1:{port}', Path(folder, 'log'))
            yield Storage(f'http://127.0.0.1:{port}')
        finally:
            process.kill()
            process.wait()


def _wait(process: 'subprocess.Popen[bytes]', address: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f'{address}/storage/v1/b/{BUCKET}', timeout=5).read()
            return
        except HTTPError as answered:
            raise AssertionError(f'the emulator has no bucket: {answered}') from None
        except (URLError, OSError):
            time.sleep(0.1)
    raise AssertionError(f'the emulator did not start: {log.read_text("utf-8")[-2000:]}')
