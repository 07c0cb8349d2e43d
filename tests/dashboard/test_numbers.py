"""What the pages ask: a short way says the same as the long one."""

from datetime import date

import pytest

from kly_mage.common.settings import load_settings
from kly_mage.common.window import Window
from kly_mage.dashboard import numbers
from kly_mage.warehouse.postgres.reading import ask, query
from tests.dashboard.conftest import Dashboard

pytestmark = pytest.mark.one_version


@pytest.mark.parametrize('article', ['', '5479186', '(not set)'])
def test_the_changes_of_a_day_are_those_of_gold_changes(
    dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch, article: str
) -> None:
    for name, value in dashboard.environment.items():
        monkeypatch.setenv(name, value)
    asked = {'day': date(2025, 10, 2), 'article': article}
    fast, slow = numbers.changes(**asked), ask(load_settings(), query('changes'), asked)
    assert fast.columns == slow.columns
    assert [row[:2] + row[3:] for row in fast.rows] == [row[:2] + row[3:] for row in slow.rows] != []


@pytest.mark.parametrize(
    ('days', 'earlier'),
    [
        (('2025-10-01', '2025-10-31'), ('2025-08-31', '2025-09-30')),
        (('2025-10-01', '2025-10-01'), ('2025-09-30', '2025-09-30')),
    ],
)
def test_the_days_before_are_as_many_and_end_the_day_before(days: tuple[str, str], earlier: tuple[str, str]) -> None:
    assert numbers.before(Window(*map(date.fromisoformat, days))) == Window(*map(date.fromisoformat, earlier))
