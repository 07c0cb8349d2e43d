"""Whose a row is: persons who were forgotten are told by a keyed hash, in GoogleSQL, by the rule of ``rows.persons``.

A load's rows are staged before its transaction begins, or stand in BigQuery already: its script tells whose they are behind
the lock, so that one which began before a ``forget`` leaves them out as well.
"""

import polars as pl

from kly_mage.declared.base import Source
from kly_mage.landing.left_out import FILE_LINE
from kly_mage.rows.persons import BETWEEN, STRINGS, Forgotten
from kly_mage.warehouse import forgetting
from kly_mage.warehouse.bigquery.client import Client
from kly_mage.warehouse.bigquery.text import identifier, literal

FORGOTTEN = '{"reason": "is of a person who was forgotten"}'
"""What ``_reject`` says of such a row in a script; whether its values can be used does not matter then."""
PERSONS_FORGOTTEN = [
    ('source', 'string', 'The source.'),
    ('person', 'string', 'SHA-256 over the setting person_key and the id; the id itself is kept nowhere.'),
    ('forgotten_at', 'timestamp', 'When.'),
    ('forgotten_by', 'string', 'Who did it.'),
    ('rows_removed', 'int64', 'Rows of bronze that went.'),
    ('rejects_removed', 'int64', 'Rejects that went.'),
]
VARIABLES = ''.join(f'declare {each};\n' for each in ('v_person_key string', 'v_persons array<string>'))
"""Of the scripts that ask whose a row is: the key, and the hashes of those who are looked for."""
KEY = "(select value from ops.settings where name = 'person_key')"
"""The key of the hashes, a query in parentheses."""
PERSONS = f'select {KEY} as person_key, person from ops.forgotten where source = @source'


def persons(client: Client, source: Source) -> Forgotten | None:
    """The persons of a source who were forgotten; None if there are none."""
    column = source.person_column
    rows = client.run(PERSONS, {'source': source.name}, what='persons') if column else []
    if not column or not rows:
        return None
    return Forgotten(column, rows[0]['person_key'], frozenset(row['person'] for row in rows))


def unnamed(client: Client, source: Source, frame: pl.DataFrame) -> pl.DataFrame:
    """The same rows, in which none of the forgotten is named where something is said of a whole file."""
    is_file = (frame['_line'] == FILE_LINE).fill_null(value=False)
    if not source.person_column or not is_file.any() or not (forgotten := persons(client, source)):
        return frame
    return pl.concat([frame.filter(~is_file), forgetting.unnamed(forgotten, frame.filter(is_file))])


def asked(source: Source) -> str:
    """How a script begins that asks ``with_owner``; empty where a source knows no persons."""
    return VARIABLES + _known(source) if source.person_column else ''


def _known(source: Source) -> str:
    """The steps that find out who of a source was forgotten; of a load behind its lock."""
    return (
        f'set v_person_key = {KEY};\n'
        f'set v_persons = array(select person from ops.forgotten where source = {literal(source.name)});\n'
    )


def with_owner(source: Source, rows: str) -> str:
    """A relation of rows as they are staged with ``_is_theirs``: whether a row, a reject or not, is of one of ``v_persons``.

    Args:
        rows: the query that gives them.
    """
    column = source.person_column
    theirs = 'false'
    if column:
        theirs = f'ifnull({is_among(identifier(column))}, false) or ifnull({names(source, "_reject")}, false)'
        theirs = f'array_length(v_persons) > 0 and ({theirs})'
    return f'(select *, {theirs} as _is_theirs from (\n{rows}\n) as every_row)'


def parts(source: Source, rows: str) -> dict[str, str]:
    """The places of a load's script that are about them; empty texts where a source knows no persons.

    Args:
        rows: the relation of the staged rows, with those about whole files.
    """
    if not source.person_column:
        return dict.fromkeys(('asked_whose', 'persons', 'forgotten'), '') | {'delivered': rows}
    return {
        'asked_whose': VARIABLES,
        'persons': _known(source),
        'forgotten': f"\n        when _reject = {literal(FORGOTTEN)} then 'forgotten'",
        'delivered': _marked(source, rows),
    }


def _marked(source: Source, rows: str) -> str:
    """Those of forgotten persons are marked like rows that cannot be used."""
    theirs = f'_is_theirs and _line is distinct from {FILE_LINE}'
    return (
        f'(\n    select * except (_is_theirs) replace (if({theirs}, {literal(FORGOTTEN)}, _reject) as _reject,'
        f' if({theirs}, null, _hashrow) as _hashrow)\n    from {with_owner(source, f"select * from {rows} as each_row")}\n)'
    )


def is_among(text: str) -> str:
    """The condition that a text is the id of one of ``v_persons``."""
    return f'to_hex(sha256(concat(v_person_key, {text}))) in unnest(v_persons)'


def names(source: Source, reject: str) -> str:
    """The condition that a rejected row names one of them: in its column, or anywhere if it could not be taken apart."""
    column = source.person_column
    own = f"json_value({reject}, '$.row.{column}')"
    words = f"array(select trim(word, '\"') from unnest(regexp_extract_all({reject}, {literal(STRINGS)})) as word)"
    pieces = f"split(regexp_replace({reject}, {literal(BETWEEN)}, ' '), ' ')"
    apart = f'strpos({reject}, {literal(f"{chr(34)}{column}{chr(34)}:")}) > 0'
    told = f'if({apart}, [{own}], array_concat([{own}], {words}, {pieces}))'
    return f'exists (select 1 from unnest({told}) as word where {is_among("word")})'
