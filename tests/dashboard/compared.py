"""One warehouse beside the other: what pages ask of both has the same answer."""

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pytest

from kly_mage.common.settings import load_settings
from kly_mage.declared.marts import DAILY_SUMMARY
from kly_mage.warehouse.base import Reader
from kly_mage.warehouse.choice import warehouse
from kly_mage.warehouse.gold import Asked, Table
from tests.gold import RATIOS, assert_near

BEGINNINGS, ENDS = ('first', 'eventsfrom', 'adsfrom'), ('last', 'eventsto', 'adsto')


@dataclass
class Loaded:
    """A warehouse with what was loaded into it.

    Attributes:
        environment: what commands on it need.
        reader: what pages ask.
        loads: of each load, its source and which of its loads it is, from 1 on.
    """

    environment: dict[str, str]
    reader: Reader
    loads: dict[int, tuple[str, int]]
    _spans: dict[str, tuple[Any, ...]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, environment: dict[str, str]) -> 'Loaded':
        """What stands there."""
        with pytest.MonkeyPatch.context() as patched:
            for variable, value in environment.items():
                patched.setenv(variable, value)
            reader = warehouse(load_settings()).reader()
            found = reader.query('loads', {'start': date.min, 'end': date.max, 'load': None, 'limit': None})
        at = [found.columns.index(each) for each in ('load_id', 'source')]
        loads, counts = dict[int, tuple[str, int]](), Counter[str]()
        for load, source in sorted(tuple(row[each] for each in at) for row in found.rows):
            counts[source] += 1
            loads[load] = source, counts[source]
        return cls(environment, reader, loads)

    def query(self, name: str, asked: dict[str, Any]) -> Table:
        """The answer with what is this warehouse's own as what it stands for."""
        found = self.reader.query(name, {key: self._own(key, value) for key, value in asked.items()})
        return Table(found.columns, [tuple(map(self._as_it_is_anywhere, found.columns, row)) for row in found.rows])

    def _own(self, key: str, value: Any) -> Any:
        if key == 'load' and value:
            source, nth = value if isinstance(value, tuple) else (value, None)
            return max(load for load, of in self.loads.items() if of == (source, nth or of[1]))
        if key in (*BEGINNINGS, *ENDS):
            if value not in self._spans:
                ever = {'start': date.min, 'end': date.max, 'source': value, 'article': ''}
                (self._spans[value],) = self.reader.query('span', ever).rows
            return self._spans[value][key in ENDS]
        return value

    def _as_it_is_anywhere(self, name: str, value: Any) -> Any:
        if name == 'load_id' and value is not None:
            return self.loads[value]
        if name in ('finished_at', 'restated_at', 'checked_at', 'first', 'last') and value is not None:
            return value.tzinfo is not None
        if name == 'started_by':  # the command that has taken out a load names it
            return re.sub(r'(?<=--load )\d+', lambda found: ' '.join(map(str, self.loads[int(found[0])])), value)
        return value.replace('-', '') if name == 'hashrow' else value


def assert_same_answer(here: Loaded, there: Loaded, name: str, asked: dict[str, Any]) -> list[tuple[Any, ...]]:
    """A query of a page has the same rows on both; gives them."""
    right, found = here.query(name, asked), there.query(name, asked)
    assert found.columns == right.columns
    ratios = [at for at, column in enumerate(right.columns) if column in RATIOS]
    exact = [[[value for at, value in enumerate(row) if at not in ratios] for row in each.rows] for each in (found, right)]
    assert exact[0] == exact[1], (name, asked)
    for one, other in zip(found.rows, right.rows, strict=True):
        assert_near([one[at] for at in ratios], [other[at] for at in ratios])
    return right.rows


def assert_same_sums(one: Loaded, other: Loaded, asked: Asked) -> None:
    """What is added up of gold is the same on both."""
    here, there = (each.reader.look_up(DAILY_SUMMARY, asked) for each in (one, other))
    assert here
    assert there
    assert (there.texts, there.numbers, there.count) == (here.texts, here.numbers, here.count)
    exact = len(here.texts) + len(here.numbers) - len(RATIOS)
    of_all = [[(None,) * len(found.texts) + found.totals] for found in (here, there)]
    for right, found in ((here.rows, there.rows), of_all):
        for line, same in zip(right, found, strict=True):
            assert same[:exact] == line[:exact]
            assert_near(same[exact:], line[exact:])
