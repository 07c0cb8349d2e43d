"""What the database was made for beside what is declared now: changes that the rows already stored have to follow."""

from dataclasses import dataclass

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage import __version__
from kly_mage.common.errors import WarehouseError
from kly_mage.declared import SOURCES
from kly_mage.declared.base import Kind, Source
from kly_mage.rows.rowhash import VERSION
from kly_mage.warehouse.postgres.tables import bronze_table, corrections_table, exists
from kly_mage.warehouse.postgres.types import POSTGRES_TYPES

MIGRATE = 'python -m kly_mage migrate'


@dataclass(frozen=True)
class HashRule:
    """What ``_hashrow`` is over: the columns in the order of their names, None for all; and the version of the text."""

    columns: tuple[str, ...] | None
    version: str = VERSION

    def __str__(self) -> str:
        return 'all columns' if self.columns is None else ', '.join(self.columns)

    @classmethod
    def of(cls, source: Source) -> 'HashRule':
        """The rule that is declared."""
        return cls(None if source.hash_columns is None else tuple(sorted(source.hash_columns)))


@dataclass(frozen=True)
class Change:
    """What of one source is declared otherwise than its rows are stored.

    Attributes:
        types: columns of bronze that have another type than they should, with the kind they should be; an undeclared
            column is text.
        rule: the rule the stored hashes follow.
        is_released: whether newer deliveries have corrected days that files are said to hold whole no more.
    """

    source: Source
    types: dict[str, Kind]
    rule: HashRule
    is_released: bool = False

    @property
    def is_rehash(self) -> bool:
        """Whether hashes of stored rows may change."""
        own = HashRule.of(self.source)
        return self.rule != own or not set(self.types if own.columns is None else own.columns).isdisjoint(self.types)

    def __str__(self) -> str:
        """Why a command cannot go on, as half a sentence."""
        told = [f'{self.source.name}.{name} is declared as {kind} now' for name, kind in self.types.items()]
        if self.rule.version != VERSION:
            told.append(f'the rows of {self.source.name} are hashed by rule {self.rule.version}, this code has {VERSION}')
        elif self.rule != HashRule.of(self.source):
            own = HashRule.of(self.source)
            told.append(f'the rows of {self.source.name} are hashed over {self.rule}, its declaration says {own}')
        if self.is_released:
            told.append(
                f'rows of {self.source.name} count no longer, because newer deliveries of their days lack them, and its '
                'declaration says no more that files hold days whole'
            )
        return '; '.join(told)


def changes(cursor: Cursor) -> list[Change]:
    """The changes of the declarations that stored rows have to follow, for sources that have a table."""
    found = []
    for source in SOURCES.values():
        rule = stored_rule(cursor, source)
        if rule is None:
            continue
        kinds = {column.name: column.kind for column in source.columns}
        types = {
            name: kinds.get(name, 'text')
            for name, kind in column_types(cursor, f'bronze.{source.name}').items()
            if not name.startswith('_') and kind != POSTGRES_TYPES[kinds.get(name, 'text')]
        }
        is_released = not source.may_be_corrected and _is_corrected(cursor, source)
        if types or rule != HashRule.of(source) or is_released:
            found.append(Change(source, types, rule, is_released))
    return found


def _is_corrected(cursor: Cursor, source: Source) -> bool:
    if not exists(cursor, 'bronze', f'{source.name}_corrections'):
        return False
    cursor.execute(sql.SQL('select exists (select from {})').format(corrections_table(source)))
    return bool(cursor.fetchone()[0])


def stored_rule(cursor: Cursor, source: Source) -> HashRule | None:
    """The rule that the stored hashes of a source follow; None if it was never made room for."""
    cursor.execute('select columns, version from ops.hash_rules where source = %s', (source.name,))
    if found := cursor.fetchone():
        columns, version = found
        return HashRule(None if columns is None else tuple(columns), version)
    return None


def refuse_other_rule(cursor: Cursor, source: Source) -> None:
    """Stop a load whose hashes would not be those of the rows stored: every row would seem new.

    Raises:
        WarehouseError: another rule is in force, also since this process began.
    """
    rule = stored_rule(cursor, source)
    if rule != HashRule.of(source):
        change = Change(source, {}, rule or HashRule((), 'unknown'))
        raise WarehouseError(f'{change}: {MIGRATE}, or go back to the declaration of before')


def note_rules(cursor: Cursor) -> None:
    """Keep the declared rules: of new sources, and of those whose rows have just been hashed again."""
    for source in SOURCES.values():
        rule = HashRule.of(source)
        cursor.execute(
            'insert into ops.hash_rules as kept (source, columns, version, applied_by) values (%s, %s, %s, %s)'
            ' on conflict (source) do update set columns = excluded.columns, version = excluded.version,'
            ' applied_at = excluded.applied_at, applied_by = excluded.applied_by'
            ' where (kept.columns, kept.version) is distinct from (excluded.columns, excluded.version)',
            (source.name, None if rule.columns is None else list(rule.columns), rule.version, __version__),
        )


def column_types(cursor: Cursor, table: str) -> dict[str, str]:
    """The columns of a table and their types; empty if there is no such table."""
    cursor.execute(
        'select attname, case atttypid::regtype::text'
        " when 'timestamp with time zone' then 'timestamptz' else atttypid::regtype::text end"
        ' from pg_attribute where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped order by attnum',
        (table,),
    )
    return dict(cursor.fetchall())


def prepare(cursor: Cursor) -> None:
    """What derived statements cannot do by themselves, before they run: it costs no row anything."""
    for source in SOURCES.values():
        if exists(cursor, 'bronze', source.name):
            _allow_absent(cursor, source)
            _drop_outgrown_key(cursor, source)


def _allow_absent(cursor: Cursor, source: Source) -> None:
    """What is not required any more may be absent."""
    required = [column.name for column in source.columns if column.required]
    cursor.execute(
        'select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 and attnotnull'
        " and attname !~ '^_' and attname <> all(%s)",
        (f'bronze.{source.name}', required),
    )
    for (name,) in cursor.fetchall():
        cursor.execute(sql.SQL('alter table {} alter {} drop not null').format(bronze_table(source), sql.Identifier(name)))


def _drop_outgrown_key(cursor: Cursor, source: Source) -> None:
    """The key of the conflicts is over the values: where other values are declared, it is made again over those."""
    key = f'{source.name}_conflicts_key'
    cursor.execute(
        'select array_agg(attname::text order by attnum) from pg_attribute where attrelid = to_regclass(%s)',
        (f'bronze.{key}',),
    )
    (found,) = cursor.fetchone()
    if found and found != ['_hashrow', *(column.name for column in source.version_columns)]:
        cursor.execute(sql.SQL('drop index bronze.{}').format(sql.Identifier(key)))
