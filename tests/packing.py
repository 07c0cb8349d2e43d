"""Bytes packed as others pack them, by the ending that their file's name then has."""

import gzip
import io
import zipfile

import pyarrow as pa

ENDS = ('', '.gz', '.zst', '.zip')


def packed(content: bytes, end: str) -> bytes:
    """The bytes of a file that is named so."""
    if end == '.gz':
        return gzip.compress(content, mtime=0)
    if end == '.zst':
        whole: bytes = pa.Codec('zstd').compress(content, asbytes=True)
        return whole
    return zipped({'report': content}) if end == '.zip' else content


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive of these members."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, 'w', method) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return archive.getvalue()
