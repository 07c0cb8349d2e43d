"""What PostgreSQL refuses, told to a person: one cause, one sentence, one remedy.

While a connection is made, libpq gives no SQLSTATE, only the server's words; what a server says in another language than
English gets the general sentence. Later there is a SQLSTATE, and psycopg2 has a class for each.
"""

import re

import psycopg2
import psycopg2.errors as state

from kly_mage.common.errors import KlyError, LimitError, UnreachableError, WarehouseError, first_line
from kly_mage.common.settings import Settings
from kly_mage.warehouse.postgres.text import identifier

_SQL = 'have an administrator run'
# The words of a server that lets nobody in, what they mean, and what helps. The first that fits counts.
_AT_THE_DOOR = (
    ('password authentication failed', 'does not take the password of {user}', 'check POSTGRES_USER and POSTGRES_PASSWORD'),
    ('no password supplied', 'wants a password for {user}', 'set POSTGRES_PASSWORD, or write it into ~/.pgpass'),
    (
        r'pg_hba\.conf',
        'does not let {user} into the database {dbname} from here ({said})',
        'its pg_hba.conf needs a line for this user, database and address, and then "select pg_reload_conf()"',
    ),
    (
        'Peer authentication failed',
        'lets {user} in over its socket only where the user of the machine has the same name',
        'be that user, or set POSTGRES_HOST to an address and POSTGRES_PASSWORD',
    ),
    ('not permitted to log in', 'does not let {user} log in', f'{_SQL}: ALTER ROLE {{role}} LOGIN'),
    (
        'too many connections for role',
        'has no further connection for {user}: the limit of this role is reached',
        f'end some of its sessions, or {_SQL}: ALTER ROLE {{role}} CONNECTION LIMIT -1',
    ),
    (
        'too many connections for database',
        'has no further connection to {dbname}: the limit of this database is reached',
        f'end some of its sessions, or {_SQL}: ALTER DATABASE {{database}} CONNECTION LIMIT -1',
    ),
    (
        'too many clients|connection slots',
        'has no connection left ({said})',
        'end some sessions, or raise its max_connections',
    ),
    (
        'permission denied for database',
        'does not let {user} into the database {dbname}',
        f'{_SQL}: GRANT CONNECT ON DATABASE {{database}} TO {{role}}',
    ),
    (
        'not currently accepting connections',
        'has closed the database {dbname}',
        f'{_SQL}: ALTER DATABASE {{database}} ALLOW_CONNECTIONS true',
    ),
    ('role ".*" does not exist', 'has no role {user}', f'check POSTGRES_USER, or {_SQL}: CREATE ROLE {{role}} LOGIN'),
    (
        'database ".*" does not exist',
        'has no database {dbname}',
        f'check POSTGRES_DBNAME, or {_SQL}: CREATE DATABASE {{database}} OWNER {{role}}',
    ),
    (
        'out of memory|could not fork',
        'has no memory left for a session ({said})',
        'end some sessions, or give it more memory',
    ),
    ('translate host name', 'cannot be found', 'check POSTGRES_HOST'),
    (
        'Connection refused|No such file|timeout expired|unreachable',
        'does not answer ({said})',
        'start it, or check POSTGRES_HOST and POSTGRES_PORT',
    ),
    (
        'closed the connection|reset by peer|[Bb]roken pipe|terminating connection',
        'broke off ({said})',
        'see its log, or check POSTGRES_HOST and POSTGRES_PORT',
    ),
    (
        '',
        'refused {user} ({said})',
        'check POSTGRES_HOST, POSTGRES_PORT, POSTGRES_DBNAME, POSTGRES_USER and POSTGRES_PASSWORD',
    ),
)
_MAY_PASS = re.compile(
    'too many|slots|memory|fork|translate host|refused|No such file|timeout|unreachable|starting up|recovery'
    # It went down between the knock and the answer.
    '|closed the connection|reset by peer|[Bb]roken pipe|terminating connection'
)
_WORDS = re.compile(r'(?:connection to server .*? failed: )?(?:\w+: +)?(.*)')

# A right that is missing, and the statement that gives it.
_RIGHTS = (
    ('to create temporary tables', 'GRANT TEMPORARY ON DATABASE {database} TO {role}'),
    ('for database', 'GRANT CREATE ON DATABASE {database} TO {role}'),
    ('must be owner of schema "?(?P<name>.+?)"?$', 'ALTER SCHEMA {name} OWNER TO {role}'),
    ('for schema "?(?P<name>.+?)"?$', 'GRANT USAGE, CREATE ON SCHEMA {name} TO {role}'),
    ('for (table|view|materialized view|sequence)', 'GRANT ALL ON ALL TABLES IN SCHEMA bronze, gold, ops TO {role}'),
    ('', 'GRANT {owner} TO {role} -- it owns the tables'),
)
# What a session is told, by psycopg2's class for its SQLSTATE.
_INSIDE: dict[type[psycopg2.Error], tuple[str, str]] = {
    state.DiskFull: ('PostgreSQL has no space left ({said})', 'make room and run it again'),
    state.IoError: ('PostgreSQL cannot use its disk ({said})', 'see its log and that disk, then run it again'),
    state.InsufficientResources: ('PostgreSQL lacks something ({said})', 'see its log'),
    state.OutOfMemory: (
        'PostgreSQL has no memory left ({said})',
        'end other sessions, give it more memory, or lower its work_mem; fewer days at once need less',
    ),
    state.ConfigurationLimitExceeded: (
        'PostgreSQL is told to take no more than this ({said})',
        f'{_SQL}: ALTER ROLE {{role}} SET temp_file_limit = -1; fewer days at once need less',
    ),
    state.QueryCanceled: (
        'PostgreSQL ended a statement ({said})',
        'run it again; where nobody has cancelled it: ALTER ROLE {role} SET statement_timeout = 0',
    ),
    state.ReadOnlySqlTransaction: (
        'this PostgreSQL can only be read ({said}); it is a standby',
        'set POSTGRES_HOST to the server it follows',
    ),
}
_MORE_LOCKS = 'raise its max_locks_per_transaction and restart it; fewer days at once need less'
_LIMITS = (state.ProgramLimitExceeded, state.TooManyColumns, state.TooManyArguments, state.StatementTooComplex)
PERMANENT = (*_INSIDE, *_LIMITS, state.InsufficientPrivilege)
"""What the next try would meet again: no room, no right, a limit somebody has set, somebody who wanted it to end."""


def at_the_door(error: psycopg2.OperationalError, settings: Settings) -> WarehouseError:
    """Why the server let nobody in."""
    text = str(error)
    cause, remedy = next(told for words, *told in _AT_THE_DOOR if re.search(words, text))
    kind = UnreachableError if _MAY_PASS.search(text) else WarehouseError
    told = f'PostgreSQL at {settings.host}:{settings.port} {cause}; {remedy}'
    return kind(told.format(**_names(settings), said=said(error)))


def inside(error: psycopg2.Error, settings: Settings, owner: str = '') -> KlyError:
    """Why a session of ours was refused something.

    Args:
        error: one of ``PERMANENT``.
        settings: with the role and the database.
        owner: the role that made the tables.
    """
    if isinstance(error, _LIMITS):
        return LimitError(f'a limit of PostgreSQL is reached ({said(error)}): deliver fewer columns or shorter values')
    if isinstance(error, state.InsufficientPrivilege):
        cause, remedy = '{user} may not do this ({said})', f'{_SQL}: {{grant}}'
    else:
        cause, remedy = next(told for kind, told in _INSIDE.items() if isinstance(error, kind))
    if 'shared memory' in said(error):  # that is the table of locks, whose size is fixed
        remedy = _MORE_LOCKS
    names = _names(settings)
    told = f'{cause}; nothing half-done was kept: {remedy}'
    return WarehouseError(told.format(**names, said=said(error), grant=_grant(error, names | {'owner': identifier(owner)})))


def said(error: BaseException) -> str:
    """The server's own words, without libpq's in front of them."""
    words = _WORDS.fullmatch(first_line(error))
    return words[1] if words else first_line(error)


def _names(settings: Settings) -> dict[str, str]:
    names = {'user': settings.user, 'dbname': settings.dbname}
    return names | {'role': identifier(settings.user), 'database': identifier(settings.dbname)}


def _grant(error: psycopg2.Error, names: dict[str, str]) -> str:
    """The statement that gives the right that was missing."""
    for words, statement in _RIGHTS:
        if found := re.search(words, said(error)):
            named = {name: identifier(value) for name, value in found.groupdict().items()}
            return statement.format(**names, **named)
    raise AssertionError  # the last one fits always
