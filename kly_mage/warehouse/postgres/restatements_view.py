"""What was counted when: ``gold.changes`` by load, ``gold.restatements`` from what to what, ``gold.as_of`` at a moment.

By day, content and measure, out of bronze and its corrections. They read all of bronze, and are for questions.
"""

from kly_mage.declared import SOURCES
from kly_mage.declared.base import Source
from kly_mage.declared.marts import MARTS, NOT_SET, Mart, Measure
from kly_mage.warehouse.postgres.counting import changes
from kly_mage.warehouse.postgres.measures import per_row
from kly_mage.warehouse.postgres.text import comment, identifier, literal

_KEY = (
    ('source', 'The source.'),
    ('day', 'Local day of the rows.'),
    ('content_id', 'The article; (not set) for rows without one.'),
    ('measure', 'The number of the mart; of those that add up over rows.'),
)
_CHANGES = (
    *_KEY,
    ('load_id', 'The load that changed it, see ops.loads.'),
    ('changed_at', 'When that was: the ingestion time of its rows.'),
    ('is_restated', 'Whether it changed what had been counted before, beside what it may have added.'),
    ('change', 'By how much.'),
)
_RESTATEMENTS = (
    *_CHANGES[:5],
    ('restated_at', 'When that was: the ingestion time of its rows.'),
    ('before', 'What counted until then.'),
    ('after', 'What counted from then on.'),
)


def restatements_view() -> str:
    """The statements that make the views and the function, and describe them; safe to run again."""
    parts = [part for mart in MARTS for part in _changes(mart, SOURCES[mart.source])]
    return _VIEWS.format(
        changes='\n    union all\n'.join(parts),
        comments='\n'.join(
            [
                comment(
                    'view', 'gold.changes', 'One row per day, content, measure and load: by how much the load changed it.'
                ),
                *(comment('column', f'gold.changes.{name}', text) for name, text in _CHANGES),
                comment(
                    'view',
                    'gold.restatements',
                    'One row per day, content, measure and load that corrected what had been counted: from what to what.',
                ),
                *(comment('column', f'gold.restatements.{name}', text) for name, text in _RESTATEMENTS),
                comment('function', 'gold.as_of', 'What counted at a moment, by day, content and measure.'),
            ]
        ),
    )


def _changes(mart: Mart, source: Source) -> list[str]:
    """The queries for what loads have changed of the numbers of a mart, and when."""
    bronze, content = f'bronze.{identifier(source.name)}', next((k.column for k in mart.by if k.name == 'content_id'), None)
    own = [(measure.name, f'({_own(measure)})') for measure in mart.additive]
    parts = [_select(source, content, f'{bronze} as stored', 'false', own)]
    if source.may_be_corrected:
        signed = [(name, f'{amount} * stored.sign') for name, amount in own]
        parts.append(_select(source, content, f'{changes(source)} as stored', 'true', signed))
    return parts


def _own(measure: Measure) -> str:
    return str(per_row(measure).string)


def _select(source: Source, content: str | None, rows: str, is_restated: str, amounts: list[tuple[str, str]]) -> str:
    key = f"coalesce(nullif(stored.{identifier(content)}, ''), {literal(NOT_SET)})" if content else 'null::text'
    values = ', '.join(f'({literal(name)}, ({amount})::numeric)' for name, amount in amounts)
    return (
        f'    select {literal(source.name)} as source, stored._partition_date as day, {key} as content_id,\n'
        f'        measure.name as measure, stored._load_id as load_id, stored._updated_at as changed_at,\n'
        f'        {is_restated} as is_restated, measure.change\n'
        f'    from {rows}\n'
        f'    cross join lateral (values {values}) as measure (name, change)'
    )


# Filters on source, day, content and measure reach the tables: a window is over each of them.
_VIEWS = """\
create or replace view gold.changes as
with changes as (
{changes}
)
select source, day, content_id, measure, load_id, max(changed_at) as changed_at,
    bool_or(is_restated and change <> 0) as is_restated, trim_scale(coalesce(sum(change), 0)) as change
from changes
group by source, day, content_id, measure, load_id;
create or replace view gold.restatements as
with steps as (
    select *, sum(change) over (partition by source, day, content_id, measure order by load_id) as after
    from gold.changes
)
select source, day, content_id, measure, load_id, changed_at as restated_at,
    trim_scale(after - change) as before, trim_scale(after) as after
from steps
where is_restated and change <> 0;
create or replace function gold.as_of(moment timestamptz)
returns table (source text, day date, content_id text, measure text, amount numeric) language sql stable as $function$
    select source, day, content_id, measure, trim_scale(sum(change))
    from gold.changes
    where changed_at <= moment
    group by source, day, content_id, measure
$function$;
{comments}"""
