"""Names and texts in GoogleSQL."""

import re
from decimal import Decimal

DATA_SETS = ('bronze', 'gold', 'ops', 'staging')
_RESERVED = re.compile(
    '_partition|_table_|_file_|_row_timestamp|__root__|_colidentifier|_change_(sequence_number|type|timestamp)',
    re.IGNORECASE,
)
# What it keeps for itself is called otherwise there.
_THERE = {'_partition_date': '_local_date', '_file_day': '_day_of_file'}
_HERE = {there: here for here, there in _THERE.items()}
_NAMED = re.compile(
    r"'(?:[^'\\]|\\.)*'|--[^\n]*"  # a text or a remark stays as it is
    rf'|\b(?P<set>{"|".join(DATA_SETS)})(?=\.)|(?<=create schema if not exists )(?P<made>\w+)'
    rf'|\b(?P<column>{"|".join(_THERE)})\b'
)


def placed(statement: str, prefix: str) -> str:
    """A statement as it leaves for a project: with its names of columns, and a prefix in front of those of data sets."""

    def name(found: re.Match[str]) -> str:
        if found['column']:
            return there(found['column'])
        return (prefix if found['set'] or found['made'] else '') + found[0]

    return _NAMED.sub(name, statement)


def there(column: str) -> str:
    """What a column is called in BigQuery: it lets none begin as its own do (``_PARTITION…``, ``_FILE_…``)."""
    return _THERE.get(column, column)


def here(column: str) -> str:
    """What a column of BigQuery is called elsewhere."""
    return _HERE.get(column, column)


def identifier(name: str) -> str:
    """A quoted name. Names are declared, or have passed ``is_name``."""
    if '`' in name or '\\' in name:
        raise ValueError(name)
    return f'`{name}`'


def is_name(text: str) -> bool:
    """Whether a column of BigQuery can be called so."""
    return (
        re.fullmatch('[A-Za-z_][A-Za-z0-9_]{0,299}', text) is not None and not _RESERVED.match(text) and here(text) == text
    )


def cells(*values: str) -> str:
    """Expressions as a JSON list of texts, the column ``cells``: what rows of any columns are where they stand together."""
    texts = ', '.join(f'cast({value} as string)' for value in values)
    return f'to_json_string([{texts}]) as cells'


def literal(value: str | int | Decimal) -> str:
    """A text or whole number as GoogleSQL spells it; every character but plain ones is escaped."""
    if isinstance(value, int):
        return str(value)
    return "'" + ''.join(c if c.isascii() and c.isprintable() and c not in "'\\" else _escaped(c) for c in str(value)) + "'"


def _escaped(character: str) -> str:
    return f'\\U{ord(character):08x}'
