"""Names and texts in GoogleSQL."""

import re
from decimal import Decimal

DATA_SETS = ('bronze', 'gold', 'ops', 'staging')
_NAMED = re.compile(
    r"'(?:[^'\\]|\\.)*'|--[^\n]*"  # a text or a remark stays as it is
    rf'|\b(?P<set>{"|".join(DATA_SETS)})(?=\.)|(?<=create schema if not exists )(?P<made>\w+)'
)


def placed(statement: str, prefix: str) -> str:
    """A statement with the names of its data sets as they are in a project where a prefix stands in front of them."""
    return _NAMED.sub(lambda found: (prefix if found['set'] or found['made'] else '') + found[0], statement)


def identifier(name: str) -> str:
    """A quoted name. Names are declared, or have passed ``is_name``."""
    if '`' in name or '\\' in name:
        raise ValueError(name)
    return f'`{name}`'


def is_name(text: str) -> bool:
    """Whether a column of BigQuery can be called so."""
    return re.fullmatch('[A-Za-z_][A-Za-z0-9_]{0,299}', text) is not None


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
