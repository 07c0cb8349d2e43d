"""What a reconciliation leaves behind (``ops.file_checks``), and what it shows of gold."""

from kly_mage.common.window import Window
from kly_mage.declared.marts import Mart
from kly_mage.warehouse.bigquery.account_told import within
from kly_mage.warehouse.bigquery.text import identifier

_NUMBERS = (
    *('rows_in_files', 'rows_duplicate_same_file', 'rows_duplicate_later_file', 'rows_conflicting_same_file'),
    *('rows_not_loaded', 'rows_outside', 'rows_forgotten', 'rows_lost', 'rows_changed', 'rows_in_no_file'),
)
_MONEY = ('revenue_in_files', 'revenue_in_duplicate_rows', 'revenue_missing', 'revenue_in_no_file')
FILE_CHECKS = [
    ('source', 'string', 'The source.'),
    ('day', 'date', 'Local day of the rows; NULL for rows without one.'),
    *((name, 'int64', f'{name.replace("_", " ").capitalize()}, see gold.reconciliation.') for name in _NUMBERS),
    ('rows_late', 'string', 'Distinct rows by how many days after their own day they were first delivered, as JSON.'),
    *((name, 'bignumeric', f'{name.replace("_", " ").capitalize()}, see gold.reconciliation.') for name in _MONEY),
    ('checked_at', 'timestamp', 'When the files were read.'),
]


def facts_statement(window: Window | None) -> str:
    """The query of some sources' rows of the view."""
    return f'select * from gold.reconciliation where source in unnest(@sources) and {within("day", window)}'


def days_statement(mart: Mart, window: Window | None) -> str:
    """The query of what a mart shows by day."""
    day = identifier(mart.day.name)
    # The sums are named apart from what they add up, but for the client: an alias would hide the column.
    sums = ', '.join(f'sum({identifier(measure.name)}) as {identifier(measure.name)}' for measure in mart.measures)
    return f'select {day} as day, {sums} from {mart.table} where {within(day, window)} group by {day} order by {day}'


def keep_script(window: Window | None) -> str:
    """The statements that replace what is kept of a source and some days.

    Its parameters: ``source``, ``records`` (JSON texts), ``start`` and ``end`` of a window.
    """
    values = []
    for name, kind, _ in FILE_CHECKS:
        text = f"json_value(record, '$.{name}')"
        if name == 'rows_late':
            text = "json_query(record, '$.rows_late')"
        values.append(text if kind == 'string' else f'cast({text} as {kind})')
    names = ', '.join(name for name, _, _ in FILE_CHECKS)
    return (
        'begin transaction;\n'
        f'delete from ops.file_checks where source = @source and {within("day", window)};\n\n'
        f'insert into ops.file_checks ({names})\nselect {", ".join(values)} from unnest(@records) as record;\n'
        'commit transaction;\n'
    )
