"""Which files are read, and what became of their rows: for tests of those that need not be read."""

from collections.abc import Callable
from typing import Any

import pytest

from kly_mage.landing import csv, plain
from tests.gold import Query

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


def last(query: Query, *parts: str) -> tuple[Any, ...]:
    """Counts of the last load of ads."""
    columns = ', '.join(f'rows_{part}' for part in parts)
    return query(f"select {columns} from ops.loads where source = 'gam_delivery' order by load_id desc limit 1")[0]


def in_bronze(query: Query) -> int:
    return int(query('select count(*) from bronze.gam_delivery')[0][0])
