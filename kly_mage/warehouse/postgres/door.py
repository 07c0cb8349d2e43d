"""A port for tools that know no socket (JDBC): 127.0.0.1 leads to the embedded server, with a password, for a while.

The embedded server asks the kernel who calls, and the door is its owner: whoever it let through as he came would be
taken for him. So it reads the first packet itself and writes one of its own, for the role ``kly_door`` and the warehouse
alone; the server asks that role for its password (pg_hba.conf, ``embedded.py``), and the door goes on only if it does. The
role reads, and cannot log in once the door is shut.
"""

import asyncio
import contextlib
import logging
import signal
import struct
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import encrypt_password

from kly_mage.common.errors import UsageError, WarehouseError, first_line
from kly_mage.common.settings import Settings
from kly_mage.warehouse.postgres.connection import open_connection
from kly_mage.warehouse.postgres.embedded import DOOR, ask_for_passwords
from kly_mage.warehouse.postgres.reading import READER, ensure_reader

logger = logging.getLogger('kly_mage')

HOST = '127.0.0.1'
AT_ONCE = 20  # of the server's 100 sessions: nobody on this machine may take them all
_FIRST_SECONDS = 10  # for a client to say what it wants
_LONGEST_FIRST = 10_000  # bytes; PostgreSQL's own bound
_VERSION, _CANCEL, _TLS, _GSS = 3 << 16, 80877102, 80877103, 80877104
_ASKS_FOR_A_PASSWORD = (b'R', 10)  # AuthenticationSASL
_LOCK = 0x6B6C795F646F6F72
_LOGIN = 'alter role {} login nosuperuser nocreatedb nocreaterole noreplication nobypassrls password {}'


class _RefusedError(Exception):
    """What a client asks for is not to be had here; the message is for it."""


def keep_open(settings: Settings, port: int, password: str, told: Callable[[], None]) -> None:
    """Have the door open until SIGINT, SIGTERM or SIGHUP.

    Args:
        settings: of the embedded server, running (``server.server``).
        port: of 127.0.0.1.
        password: that is asked for.
        told: hears that it is open.

    Raises:
        UsageError: the port is in use, or another door is open.
        WarehouseError: the role cannot be made.
    """
    with _unlocked(settings, password):
        asyncio.run(_serve(settings, port, told))


@contextmanager
def _unlocked(settings: Settings, password: str) -> Iterator[None]:
    """The role of the door has this password, and may log in, until the end."""
    if not ensure_reader(settings):
        raise WarehouseError(f'the role {READER} cannot be made: nothing is opened')
    with closing(_session(settings)) as session, session.cursor() as cursor:
        session.autocommit = True
        cursor.execute('select pg_try_advisory_lock(%s)', (_LOCK,))
        if cursor.fetchone() != (True,):
            raise UsageError('another psql --tcp of this server is open: end it first')
        door, reader, database = map(sql.Identifier, (DOOR, READER, settings.dbname))
        cursor.execute('select 1 from pg_roles where rolname = %s', (DOOR,))
        if not cursor.fetchone():
            cursor.execute(sql.SQL('create role {} nologin').format(door))
        ask_for_passwords(settings.local_dir / 'postgres')
        cursor.execute('select pg_reload_conf()')
        secret = encrypt_password(password, DOOR, session, 'scram-sha-256')  # so that no log has the password
        try:
            cursor.execute(sql.SQL('grant {} to {}').format(reader, door))
            cursor.execute(sql.SQL('grant connect on database {} to {}').format(database, door))
            cursor.execute(sql.SQL('alter role {} set default_transaction_read_only = on').format(door))
            cursor.execute(sql.SQL(_LOGIN).format(door, sql.Literal(secret)))
            yield
        finally:
            with contextlib.suppress(psycopg2.Error):  # the server may have been stopped: its password is of no use then
                cursor.execute(sql.SQL('alter role {} nologin password null').format(door))
                cursor.execute('select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = %s', (DOOR,))


def _session(settings: Settings) -> Connection:
    try:
        return open_connection(host=settings.host, dbname=settings.dbname, user=settings.user)
    except psycopg2.Error as error:
        raise WarehouseError(first_line(error)) from None


async def _serve(settings: Settings, port: int, told: Callable[[], None]) -> None:
    """Lead whoever comes to this port to the server, until a signal comes."""
    places, ended = asyncio.Semaphore(AT_ONCE), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)

    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            if places.locked():
                await _refuse(writer, '53300', f'{AT_ONCE} connections are open already')
            else:
                async with places:
                    await _guide(settings, reader, writer)
        writer.close()

    try:
        listening = await asyncio.start_server(met, HOST, port)
    except OSError:
        raise UsageError(f'port {port} is in use: stop what listens there, or choose another') from None
    told()
    await ended.wait()
    listening.close()


async def _guide(settings: Settings, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One client: its first packet, made anew, then everything as it comes."""
    socket = str(Path(str(settings.host)) / f'.s.PGSQL.{settings.port}')
    try:
        async with asyncio.timeout(_FIRST_SECONDS):
            first = await _first(reader, writer, settings.dbname)
    except _RefusedError as refused:
        return await _refuse(writer, '28000', str(refused))
    server_reader, server_writer = await asyncio.open_unix_connection(socket)
    try:
        server_writer.write(first)
        if struct.unpack('!i', first[4:8]) == (_CANCEL,):
            return await server_writer.drain()  # nobody answers
        answer = await server_reader.readexactly(9)
        kind, _, code = struct.unpack('!cii', answer)
        if kind != b'E' and (kind, code) != _ASKS_FOR_A_PASSWORD:
            logger.error('PostgreSQL does not ask %s for a password: nothing is let through', DOOR)
            return await _refuse(writer, '28000', 'the server asks for no password, so nothing is let through')
        writer.write(answer)
        ways = [asyncio.create_task(_carry(*way)) for way in ((reader, server_writer), (server_reader, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
    finally:
        server_writer.close()


async def _first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, database: str) -> bytes:
    """The packet that begins a session, or breaks a query off, as the server gets it."""
    while True:
        size, code = struct.unpack('!ii', await reader.readexactly(8))
        if not 8 <= size <= _LONGEST_FIRST:
            raise _RefusedError('this is not how PostgreSQL is spoken to')
        body = await reader.readexactly(size - 8)
        if code in (_TLS, _GSS):
            writer.write(b'N')  # the way leads over this machine alone
        elif code == _CANCEL:
            return struct.pack('!ii', size, code) + body
        elif code >> 16 == _VERSION >> 16:
            wishes = _wishes(body)
            unknown = [name for name in wishes if name.startswith(b'_pq_.')]
            if unknown or code != _VERSION:  # 3.0 is spoken behind the door: its first answer is then about the password
                names = b''.join(name + b'\0' for name in unknown)
                writer.write(b'v' + struct.pack('!iii', 12 + len(names), _VERSION, len(unknown)) + names)
            return _made_anew({name: value for name, value in wishes.items() if name not in unknown}, database)
        else:
            raise _RefusedError('this is not how PostgreSQL is spoken to')


def _wishes(body: bytes) -> dict[bytes, bytes]:
    texts = body.split(b'\0')[:-2]
    return dict(zip(texts[::2], texts[1::2], strict=False))


def _made_anew(wishes: dict[bytes, bytes], database: str) -> bytes:
    """The same wishes, for the door's role and the warehouse."""
    user, wanted = (wishes.pop(name, b'') for name in (b'user', b'database'))
    if user != DOOR.encode() or (wanted or user) != database.encode() or b'replication' in wishes:
        raise _RefusedError(f'this port leads to the database {database} as the user {DOOR}, and nowhere else')
    told = {b'user': user, b'database': database.encode()} | wishes
    packed = b''.join(name + b'\0' + value + b'\0' for name, value in told.items()) + b'\0'
    return struct.pack('!ii', 8 + len(packed), _VERSION) + packed


async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while said := await source.read(1 << 16):
        target.write(said)
        await target.drain()


async def _refuse(writer: asyncio.StreamWriter, state: str, why: str) -> None:
    told = ''.join(f'{name}{value}\0' for name, value in {'S': 'FATAL', 'V': 'FATAL', 'C': state, 'M': why}.items()).encode()
    writer.write(b'E' + struct.pack('!i', len(told) + 5) + told + b'\0')
    await writer.drain()
