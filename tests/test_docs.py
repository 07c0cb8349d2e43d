"""The documentation: links that lead somewhere, sections of the README in the site. ``make docs`` builds it, strictly."""

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


def test_every_page_is_in_the_navigation_once() -> None:
    text = (REPOSITORY / 'mkdocs.yml').read_text('utf-8')
    named = sorted(re.findall(r': ([\w-]+\.md)$', text, re.MULTILINE))
    assert named == sorted(each.name for each in (REPOSITORY / 'docs').glob('*.md'))
    assert yaml.safe_load(text)['site_dir'] in (REPOSITORY / '.gitignore').read_text('utf-8')


def test_make_docs_builds_although_there_is_a_folder_of_that_name() -> None:
    assert re.search(r'^\.PHONY:.* docs\b', (REPOSITORY / 'Makefile').read_text('utf-8'), re.MULTILINE)


def test_a_section_of_the_readme_stands_in_a_page_with_links_of_the_site(site: ModuleType) -> None:
    page = site.on_page_markdown('{{ README: Tables }}\n\n[house](../CONTRIBUTING.md) [w](words.md)')
    assert page.startswith('## Tables\n')
    assert '| `gold.daily_summary` |' in page
    assert page.endswith('\n\nhouse [w](words.md)')
    every_day = site.on_page_markdown('{{ README: Every day }}')
    assert '](docs/' not in every_day
    assert '[docs/words.md](words.md)' in every_day


def test_a_section_that_is_not_there_stops_the_build(site: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"README\.md has no section 'Every night'"):
        site.on_page_markdown('{{ README: Every night }}')
