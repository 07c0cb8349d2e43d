"""The documentation: links that lead somewhere, the README in the site. ``make docs`` builds it, strictly."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope='module')
def site() -> ModuleType:
    """What mkdocs is given."""
    spec = importlib.util.spec_from_file_location('kly_site', REPOSITORY / 'docs/site.py')
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    'name', ['README.md', *sorted(str(each.relative_to(REPOSITORY)) for each in REPOSITORY.glob('docs/*.md'))]
)
def test_a_relative_link_leads_to_a_file_of_the_repository(name: str) -> None:
    text = (REPOSITORY / name).read_text('utf-8')
    targets = {target.partition('#')[0] for target in re.findall(r'\]\(([^)\s]+)\)', text) if '://' not in target}
    assert [target for target in targets if not ((REPOSITORY / name).parent / target).exists()] == []


@pytest.mark.parametrize(
    'name', ['README.md', *sorted(str(each.relative_to(REPOSITORY)) for each in REPOSITORY.glob('docs/*.md'))]
)
def test_an_example_ends_and_fits_a_terminal_of_80_columns(name: str) -> None:
    kind, wide = None, []
    for line in (REPOSITORY / name).read_text('utf-8').splitlines():
        if line.startswith('```'):
            kind = None if kind is not None else line.removeprefix('```')
        elif kind is not None and kind != 'mermaid' and len(line) > 80:
            wide.append(line)
    assert wide == []
    assert kind is None, 'the end of an example is missing, and what stood behind it'


def test_every_page_is_in_the_navigation_once() -> None:
    text = (REPOSITORY / 'mkdocs.yml').read_text('utf-8')
    named = sorted(re.findall(r': ([\w-]+\.md)$', text, re.MULTILINE))
    assert named == sorted(each.name for each in (REPOSITORY / 'docs').glob('*.md'))
    assert yaml.safe_load(text)['site_dir'] in (REPOSITORY / '.gitignore').read_text('utf-8')


def test_make_docs_builds_although_there_is_a_folder_of_that_name() -> None:
    assert re.search(r'^\.PHONY:.* docs\b', (REPOSITORY / 'Makefile').read_text('utf-8'), re.MULTILINE)


def test_the_readme_is_a_page_with_links_of_the_site(site: ModuleType) -> None:
    page = site.on_page_markdown('{{ FILE: README.md }}\n\n[house](../CONTRIBUTING.md) [w](words.md)')
    assert page.startswith('# kly_mage\n')
    assert '](docs/' not in page
    assert '[docs/own-data.md](own-data.md)' in page
    assert '](tests/README.md)' not in page
    assert page.endswith('\n\nhouse [w](words.md)')


def test_the_readme_is_read_in_five_minutes() -> None:
    assert len((REPOSITORY / 'README.md').read_text('utf-8').splitlines()) <= 150
