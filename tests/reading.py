"""Which files are read: a fixture for tests of those that need not be."""

from collections.abc import Callable
from typing import Any

import pytest

from kly_mage.landing import csv, plain

__all__ = ['read']


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files whose rows are read from now on; cleared by ``taken``."""
    found: list[str] = []

    def noting(of: Callable[..., Any]) -> Callable[..., Any]:
        def noted(file: Any, *rest: Any) -> Any:
            found.append(file.name.rpartition('/')[2])
            return of(file, *rest)

        return noted

    monkeypatch.setattr(csv, 'slices', noting(csv.slices))
    monkeypatch.setattr(plain, 'body', noting(plain.body))  # of small files
    return found


def taken(read: list[str]) -> list[str]:
    """What was read since the last call."""
    names = sorted(set(read))
    read.clear()
    return names
