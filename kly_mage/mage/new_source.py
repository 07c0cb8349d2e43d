"""A further source to fill in: its declaration, the blocks of its lane and their wiring, a mart with its SQL blocks."""

import re
from pathlib import Path

from kly_mage.common.errors import UsageError
from kly_mage.common.settings import PROJECT
from kly_mage.declared.marts import Key, Mart, Measure, Sum
from kly_mage.warehouse.postgres.mart_block import mart_block, preview_block

PATTERN = 'gam_delivery'  # the lane whose blocks are copied: nothing in them is about ads but the words below
_BLOCKS = ('data_loaders/load_{}.py', 'transformers/hash_{}.py', 'data_exporters/export_{}.py')


def new_source(name: str, pipeline: str) -> list[Path]:
    """Write everything that a source needs, for a mart of days and articles that adds up one number.

    Returns:
        The files written or changed, those to fill in first.

    Raises:
        UsageError: the name is no plain name, or something of it is there already; nothing was written.
    """
    if not re.fullmatch('[a-z][a-z0-9_]{0,39}', name):
        raise UsageError(f'{name!r} is no name of a source: small letters, digits and _, at most 40, a letter first')
    mart = Mart(
        name=f'{name}_daily_summary',
        grain=f'One row per day and article: what {name} brought.',
        source=name,
        day=Key('date', 'Local day of the rows.'),
        by=(Key('content_id', 'The article; (not set) for rows without one.', column='content_id'),),
        measures=(Measure('amount', 'Sum of the amounts.', Sum('amount')),),
    )
    made = {PROJECT / 'declared' / f'{name}.py': _DECLARATION.format(name=name, constant=name.upper())}
    made[PROJECT / 'data_exporters' / f'{mart.name}.sql'] = mart_block(mart)
    made[PROJECT / 'data_loaders' / f'preview_{mart.name}.sql'] = preview_block(mart)
    for path in _BLOCKS:
        text = (PROJECT / path.format(PATTERN)).read_text('utf-8')
        made[PROJECT / path.format(name)] = text.replace(PATTERN, name).replace('ad deliveries', f'rows of {name}')
    if there := [path for path in made if path.exists()]:
        raise UsageError(f'{there[0].relative_to(PROJECT.parent)} is there already; nothing was written')
    changed = {
        PROJECT / 'declared' / '__init__.py': _into_sources(name),
        PROJECT / 'declared' / 'marts.py': _into_marts(mart),
        PROJECT / 'pipelines' / pipeline / 'metadata.yaml': _into_pipeline(name, mart.name, pipeline),
    }
    for target, content in (made | changed).items():
        target.write_text(content, 'utf-8')
    return [*made, *changed]


def _into_sources(name: str) -> str:
    text = (PROJECT / 'declared' / '__init__.py').read_text('utf-8')
    text = _insert(text, r'\n\nSOURCES: ', f'\nfrom kly_mage.declared.{name} import {name.upper()}')
    return _insert(text, r'\)\}', f', {name.upper()}')


def _into_marts(mart: Mart) -> str:
    text = (PROJECT / 'declared' / 'marts.py').read_text('utf-8')
    text = _insert(text, r'MARTS: tuple', _MART.format(constant=mart.name.upper(), mart=mart) + '\n')
    return _insert(text, r'\)\n\nDAILY_SUMMARY = ', f', {mart.name.upper()}')


def _into_pipeline(name: str, mart: str, pipeline: str) -> str:
    """The lane behind the others, and its failures reported; text, so that all else stays as it is written."""
    text = (PROJECT / 'pipelines' / pipeline / 'metadata.yaml').read_text('utf-8')
    text = _insert(text, r'callbacks:\n', _LANE.format(name=name, mart=mart))
    blocks = ', '.join((f'load_{name}', f'hash_{name}', f'export_{name}', mart, f'preview_{mart}'))
    return _insert(text, r'\](?=\n(?!  )[\s\S]*$)', f', {blocks}', after='callbacks:\n')


def _insert(text: str, before: str, addition: str, after: str = '') -> str:
    """The text with an addition before the first match of a pattern, searched behind ``after``."""
    found = re.compile(before).search(text, text.index(after))
    if not found:
        raise UsageError(
            f'the project is written in another way than this command knows: no {before!r}; nothing was written'
        )
    return text[: found.start()] + addition + text[found.start() :]


_DECLARATION = '''\
"""TODO: what this source is."""

from kly_mage.declared.base import Column, Source

{constant} = Source(
    name='{name}',
    grain='One row per TODO.',
    columns=(
        Column('happened_at', 'timestamp', 'When it happened.', required=True),
        Column('content_id', 'id', 'The article it belongs to; NULL for none.'),
        Column('amount', 'count', 'How much of it.', required=True),
    ),
    day_column='happened_at',
)
'''
_MART = """\
{constant} = Mart(
    name='{mart.name}',
    grain='{mart.grain}',
    source='{mart.source}',
    day=Key('date', 'Local day of the rows.'),
    by=(Key('content_id', 'The article; (not set) for rows without one.', column='content_id'),),
    measures=(Measure('amount', 'Sum of the amounts.', Sum('amount')),),
)
"""
_LANE = """\
- uuid: load_{name}
  type: data_loader
  language: python
  downstream_blocks: [hash_{name}]
- uuid: hash_{name}
  type: transformer
  language: python
  upstream_blocks: [load_{name}]
  downstream_blocks: [export_{name}]
- uuid: export_{name}
  type: data_exporter
  language: python
  upstream_blocks: [hash_{name}]
  downstream_blocks: [{mart}]
- uuid: {mart}
  type: data_exporter
  language: sql
  upstream_blocks: [export_{name}]
  downstream_blocks: [preview_{mart}]
  configuration: {{data_provider: postgres, data_provider_profile: default, disable_query_preprocessing: true,
    use_raw_sql: true}}
- uuid: preview_{mart}
  type: data_loader
  language: sql
  upstream_blocks: [{mart}]
  configuration: {{data_provider: postgres, data_provider_profile: default, use_raw_sql: true}}
"""
