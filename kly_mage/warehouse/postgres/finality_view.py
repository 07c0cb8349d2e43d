"""The view ``gold.finality``: whether the numbers of a day are final, or another delivery of it is to be expected."""

from kly_mage.declared import SOURCES
from kly_mage.declared.base import Finality, Source
from kly_mage.declared.marts import MARTS, Mart
from kly_mage.warehouse.postgres.counting import log
from kly_mage.warehouse.postgres.text import comment, identifier, literal


def finality_view() -> str:
    """The statements that make and describe it; safe to run again."""
    parts = [_days(mart, source) for mart in MARTS if (source := SOURCES[mart.source]).finality]
    columns = {
        'source': 'The source.',
        'day': 'Local day.',
        'state': 'provisional, or final.',
        'final_on': 'The first day on which its numbers are final, as the source declares it.',
        'corrected_at': 'When a delivery last corrected what had been counted; NULL if none did.',
    }
    return '\n'.join(
        [
            'create or replace view gold.finality as',
            'with days as (',
            '\nunion all\n'.join(parts) or _NOTHING,
            ')',
            'select source, day, case when final_on <= (',
            "    now() at time zone (select value from ops.settings where name = 'timezone')",
            ")::date then 'final' else 'provisional' end as state, final_on, corrected_at",
            'from days;',
            comment('view', 'gold.finality', 'One row per source and day that gold has: whether its numbers are final.'),
            *(comment('column', f'gold.finality.{name}', text) for name, text in columns.items()),
        ]
    )


_NOTHING = "select '' as source, null::date as day, null::date as final_on, null::timestamptz as corrected_at where false"


def _days(mart: Mart, source: Source) -> str:
    day, corrected_at = f'mart.{identifier(mart.day.name)}', 'null::timestamptz'
    if source.may_be_corrected:
        corrected_at = f'(select max(_updated_at) from {log(source)} as change where change._partition_date = {day})'
    return (
        f'    select {literal(source.name)} as source, {day} as day, {final_on(source.finality, day)} as final_on,\n'
        f'        {corrected_at} as corrected_at\n'
        f'    from (select distinct {identifier(mart.day.name)} from {mart.table}) as mart'
    )


def final_on(finality: Finality | None, day: str) -> str:
    """As ``Finality.of`` says."""
    if finality is None or finality.of_next_month is None:
        return f'({day} + {(finality.days if finality else 0) + 1})'
    return f"((date_trunc('month', {day}::timestamp) + interval '1 month')::date + {finality.of_next_month - 1})"
