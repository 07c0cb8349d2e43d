"""The row hash of ``rows/rowhash.py`` once more, over a stored row: ``verify`` and ``reconcile`` compare the two."""

from kly_mage.declared.base import Source
from kly_mage.rows import rowhash
from kly_mage.rows.rowhash import ESC, US, VERSION, column_label, hash_columns
from kly_mage.warehouse.postgres.text import identifier


def hashrow(source: Source, columns: list[str]) -> str:
    """The hash as a SQL expression over a stored row.

    Args:
        columns: the columns of the bronze table.
    """
    kinds = {column.name: column.kind for column in source.columns}
    values = {}
    for name in hash_columns(source, columns):
        quoted = identifier(name)
        kind = kinds.get(name, 'text')
        if kind == 'timestamp':
            values[name] = f'(extract(epoch from {quoted}) * 1000000)::bigint::text'
        elif kind == 'money':
            values[name] = f'trim_scale({quoted})::text'
        elif kind == 'count':
            values[name] = f'{quoted}::text'
        else:
            values[name] = _escaped(quoted)
    return f'({_day(source.day_column)} || substr({_digest(_text(values))}, 1, 24))::uuid'


def undeclared(values: dict[str, str]) -> str:
    """The fingerprint of undeclared columns as a SQL expression; NULL if none says anything.

    Args:
        values: what each of them says, as a SQL expression of type text.
    """
    if not values:
        return 'null::uuid'
    text = _text({name: _escaped(values[name]) for name in sorted(values)})
    text = f"nullif({text}, '{VERSION}')"
    return f'substr({_digest(text)}, 1, 32)::uuid'


def undeclared_columns(source: Source, columns: list[str]) -> str:
    """The same over a stored row.

    Args:
        columns: the columns of the bronze table.
    """
    return undeclared({name: identifier(name) for name in rowhash.undeclared_columns(source, columns)})


def _text(values: dict[str, str]) -> str:
    """The canonical text of columns, from their canonical values."""
    parts = [f"'{VERSION}'"]
    for name, value in values.items():
        label = column_label(name).replace('\\', '\\\\').replace("'", "''")
        label = label.replace(US, '\\x1f').replace(ESC, '\\x1b')
        parts.append(f"coalesce(e'{label}' || {value}, '')")
    return ' || '.join(parts)


def _escaped(text: str) -> str:
    return f"replace(replace({text}, e'\\x1b', e'\\x1b\\x1b'), e'\\x1f', e'\\x1b\\x1f')"


def _digest(text: str) -> str:
    return f"encode(sha256(convert_to({text}, 'UTF8')), 'hex')"


def _day(name: str) -> str:
    quoted = identifier(name)
    seconds = f'extract(epoch from {quoted})'  # 0001-01-01 is day -719162 since 1970, 10000-01-01 is day 2932897
    inside = f'{seconds} >= -719162 * 86400::bigint and {seconds} < 2932897 * 86400::bigint'
    return f"case when {inside} then to_char({quoted} at time zone 'UTC', 'YYYYMMDD') else '00000000' end"
