"""Files to read."""

from pathlib import Path

import pytest

from tests.landing.zone import FILE, Write


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file of the landing zone; gives the landing zone."""

    def to(content: str | bytes, name: str = FILE) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return tmp_path

    return to
