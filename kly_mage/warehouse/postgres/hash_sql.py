"""The row hash of ``rows/rowhash.py`` once more, over a stored row: ``verify`` and ``reconcile`` compare the two."""

from kly_mage.declared.base import Source
from kly_mage.rows.rowhash import ESC, US, VERSION, column_label, hash_columns
from kly_mage.warehouse.postgres.text import identifier


def hashrow(source: Source, columns: list[str]) -> str:
    """The hash as a SQL expression over a stored row.

    Args:
        columns: the columns of the bronze table.
    """
    kinds = {column.name: column.kind for column in source.columns}
    parts = [f"'{VERSION}'"]
    for name in hash_columns(source, columns):
        quoted = identifier(name)
        kind = kinds.get(name, 'text')
        if kind == 'timestamp':
            value = f'(extract(epoch from {quoted}) * 1000000)::bigint::text'
        elif kind == 'money':
            value = f'trim_scale({quoted})::text'
        elif kind == 'count':
            value = f'{quoted}::text'
        else:
            value = f"replace(replace({quoted}, e'\\x1b', e'\\x1b\\x1b'), e'\\x1f', e'\\x1b\\x1f')"
        label = column_label(name).replace('\\', '\\\\').replace("'", "''")
        label = label.replace(US, '\\x1f').replace(ESC, '\\x1b')
        parts.append(f"coalesce(e'{label}' || {value}, '')")
    text = ' || '.join(parts)
    return f"({_day(source.day_column)} || substr(encode(sha256(convert_to({text}, 'UTF8')), 'hex'), 1, 24))::uuid"


def _day(name: str) -> str:
    quoted = identifier(name)
    seconds = f'extract(epoch from {quoted})'  # 0001-01-01 is day -719162 since 1970, 10000-01-01 is day 2932897
    inside = f'{seconds} >= -719162 * 86400::bigint and {seconds} < 2932897 * 86400::bigint'
    return f"case when {inside} then to_char({quoted} at time zone 'UTC', 'YYYYMMDD') else '00000000' end"
