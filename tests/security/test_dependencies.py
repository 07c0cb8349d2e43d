"""What is installed is what the lock says, and stands above what a package asks for only where a line says so."""

from importlib.metadata import distributions, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from kly_mage.common.settings import REPOSITORY


def pins(file: str) -> dict[str, str]:
    """The versions a file of requirements pins, by canonical name; what other Pythons need is left out."""
    lines = (REPOSITORY / file).read_text('utf-8').splitlines()
    wanted = [Requirement(line) for line in lines if line and not line.startswith('#')]
    assert all(each.specifier for each in wanted), f'{file} leaves a version open'
    return {
        canonicalize_name(each.name): str(each.specifier).removeprefix('==')
        for each in wanted
        if not each.marker or each.marker.evaluate()
    }


LOCK, OVERRIDE = pins('requirements.lock'), pins('requirements-override.txt')


def test_the_lock_keeps_what_the_requirements_and_the_overrides_pin() -> None:
    asked = pins('requirements.txt') | OVERRIDE
    assert {name: LOCK.get(name) for name in asked} == asked
    assert pins('requirements.txt').items() <= asked.items(), 'a requirement and an override pin different versions'


def test_what_is_installed_is_what_is_locked() -> None:
    assert {name: version(name) for name in LOCK} == LOCK


def test_a_package_is_newer_than_another_asks_for_only_where_an_override_says_so() -> None:
    unmet = set()
    for package in distributions():
        if canonicalize_name(package.name) not in LOCK:
            continue
        for text in package.requires or ():
            asked = Requirement(text)
            if asked.marker and not asked.marker.evaluate({'extra': ''}):
                continue
            name = canonicalize_name(asked.name)
            if not asked.specifier.contains(LOCK.get(name, '0'), prereleases=True):
                unmet.add(name)
    assert unmet == set(OVERRIDE)


@pytest.mark.parametrize('name', OVERRIDE)
def test_the_page_on_security_says_what_an_override_is_for(name: str) -> None:
    rows = Path(REPOSITORY / 'docs' / 'security.md').read_text('utf-8').splitlines()
    cells = [[cell.strip() for cell in row.split('|')[1:-1]] for row in rows if row.startswith('|')]
    assert [row[2] for row in cells if canonicalize_name(row[0]) == name] == [OVERRIDE[name]]
