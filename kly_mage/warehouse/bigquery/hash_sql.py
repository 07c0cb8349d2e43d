"""The row hash in GoogleSQL: what ``rows/rowhash.py`` makes of a frame's row, of a row of a table."""

from collections.abc import Mapping, Sequence

from kly_mage.declared.base import Source
from kly_mage.rows.rowhash import ESC, US, VERSION, column_label, hash_columns
from kly_mage.warehouse.bigquery.text import identifier, literal

_PLAIN = {
    'text': 'replace(replace({0}, {esc}, {esc_esc}), {us}, {esc_us})',
    'timestamp': 'cast(unix_micros({0}) as string)',
    'count': 'cast({0} as string)',
    'money': 'cast({0} as string)',  # bignumeric is spelled without zeros behind its last digit
}


def hash_expression(source: Source, kinds: Mapping[str, str]) -> str:
    """The hash of a row with these columns.

    Args:
        kinds: declared and undeclared columns, and what they are (``declared.base.Kind``).
    """
    text = _text({name: kinds[name] for name in hash_columns(source, list(kinds))})
    day = f"ifnull(format_timestamp('%Y%m%d', {identifier(source.day_column)}, 'UTC'), '00000000')"
    return f'concat({day}, left(to_hex(sha256({text})), 24))'


def undeclared_expression(names: Sequence[str]) -> str:
    """The fingerprint of what a row says in undeclared columns; NULL if it says nothing there."""
    if not names:
        return 'cast(null as string)'
    return f'left(to_hex(sha256(nullif({_text(dict.fromkeys(sorted(names), "text"))}, {literal(VERSION)}))), 32)'


def _text(kinds: Mapping[str, str]) -> str:
    """The canonical text of columns."""
    texts = [literal(VERSION)]
    for name, kind in kinds.items():
        texts.append(f"ifnull(concat({literal(column_label(name))}, {canonical(identifier(name), kind)}), '')")
    return f'concat({", ".join(texts)})'


def canonical(value: str, kind: str) -> str:
    """The one spelling of a value."""
    escaped = {'esc': literal(ESC), 'esc_esc': literal(ESC + ESC), 'us': literal(US), 'esc_us': literal(ESC + US)}
    return _PLAIN.get(kind, _PLAIN['text']).format(value, **escaped)
