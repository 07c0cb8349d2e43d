"""What a stored row contributes to a measure, in SQL."""

from psycopg2 import sql

from kly_mage.declared.marts import Measure, Rows, Sum, Unit
from kly_mage.warehouse.postgres.text import identifier, literal

UNITS: dict[Unit, str] = {'count': 'bigint', 'USD': 'numeric'}


def per_row(measure: Measure) -> sql.SQL:
    """What one row of bronze contributes, as an expression.

    Raises:
        TypeError: the measure counts distinct keys: no row contributes by itself.
    """
    match measure.of:
        case Rows(column, value):
            return sql.SQL(f'({identifier(column)} = {literal(value)})::int')
        case Sum(column):
            return sql.SQL(identifier(column))
    raise TypeError(f'{measure.name} does not add up over rows')


def type_per_row(measure: Measure) -> str:
    """The type of that expression, and of what ``rows.measures.per_row`` gives."""
    return 'int' if isinstance(measure.of, Rows) else UNITS[measure.unit]
