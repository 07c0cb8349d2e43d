"""What the server refuses is said in one line with its cause and its remedy, at once, and the remedy works."""

import os
import re
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import REPOSITORY, Settings
from kly_mage.warehouse.postgres import connection
from tests.delivery import HEADERS, ad, article, deliver, event
from tests.gold import Query, assert_gold_is_exact
from tests.scenes import deliver_october, run_days

Captured = pytest.CaptureFixture[str]
Administer = Callable[[str], None]
LOAD = ('backfill', '--start', '2025-10-01', '--pipeline', 'ads_revenue', '--quiet')
RETRY_SECONDS = connection.RETRY_SECONDS


@pytest.fixture
def administer(settings: Settings) -> Administer:
    """Run a statement as an administrator of the server, past the project's own connections."""

    def run(statement: str) -> None:
        connection = psycopg2.connect(host=settings.host, dbname=settings.dbname, user='postgres')
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
        finally:
            connection.close()

    return run


@pytest.fixture
def role(settings: Settings, administer: Administer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An ordinary role, which the commands use from here on."""
    name = f'Loader {uuid.uuid4().hex[:8]}'  # a name that has to be quoted
    administer(f'create role "{name}" login password \'secret\'')
    monkeypatch.setenv('POSTGRES_USER', name)
    yield name
    administer(f'alter database {settings.dbname} owner to postgres; drop owned by "{name}" cascade; drop role "{name}"')


@pytest.fixture
def access(settings: Settings, query: Query) -> Iterator[Callable[[str], None]]:
    """Put lines before those of the server's pg_hba.conf, until the end of the test."""
    with connection.connect(settings) as session:  # a session works in the data folder, whatever that is called
        path = Path(f'/proc/{session.info.backend_pid}/cwd').resolve() / 'pg_hba.conf'
    before = path.read_text()

    def write(lines: str) -> None:
        path.write_text(lines + before)
        query('select pg_reload_conf()')

    yield write
    write('')


def refusal(capfd: Captured, *arguments: str) -> str:
    """The one line that a command ends with, without waiting for what does not change."""
    capfd.readouterr()
    started = time.monotonic()
    assert main(list(arguments or LOAD)) == 1
    assert time.monotonic() - started < sum(RETRY_SECONDS)
    written = capfd.readouterr()
    assert written.out == ''
    (line,) = written.err.splitlines()
    assert line.startswith('error: ')
    return line.removeprefix('error: ')


# --- who is not let in -------------------------------------------------------------------------------------------------


def test_a_missing_create_right_names_the_grant_which_works(
    settings: Settings, administer: Administer, role: str, capfd: Captured
) -> None:
    deliver_october(settings.data_dir, range(1, 2))
    said = refusal(capfd)
    assert f'{role} may not do this (permission denied for database {settings.dbname})' in said
    assert 'POSTGRES_PASSWORD' not in said
    grant = f'GRANT CREATE ON DATABASE "{settings.dbname}" TO "{role}"'
    assert said.endswith(f'have an administrator run: {grant}')
    administer(grant)
    run_days(1)


def test_a_schema_that_somebody_else_made_names_the_statements_which_work(
    settings: Settings, administer: Administer, role: str, capfd: Captured
) -> None:
    deliver_october(settings.data_dir, range(1, 2))
    administer('create schema bronze')
    administer(f'grant create on database {settings.dbname} to "{role}"')
    for remedy in (f'GRANT USAGE, CREATE ON SCHEMA "bronze" TO "{role}"', f'ALTER SCHEMA "bronze" OWNER TO "{role}"'):
        assert refusal(capfd).endswith(f'have an administrator run: {remedy}')
        administer(remedy)
    run_days(1)


def test_tables_of_another_role_are_said_to_be_so(
    settings: Settings, administer: Administer, role: str, capfd: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver_october(settings.data_dir, range(1, 2))
    with monkeypatch.context() as environment:
        environment.setenv('POSTGRES_USER', 'postgres')
        run_days(1)
    said = refusal(capfd)
    assert said.endswith(f'GRANT USAGE, CREATE ON SCHEMA "ops" TO "{role}"')
    administer(f'grant usage, create on schema bronze, gold, ops to "{role}"')
    said = refusal(capfd)
    assert said.endswith(f'GRANT ALL ON ALL TABLES IN SCHEMA bronze, gold, ops TO "{role}"')


@pytest.mark.parametrize(
    ('limit', 'cause', 'remedy'),
    [
        ('role', 'has no further connection for', 'ALTER ROLE "{role}" CONNECTION LIMIT -1'),
        ('database', 'has no further connection to', 'ALTER DATABASE "{database}" CONNECTION LIMIT -1'),
    ],
)
def test_a_limit_of_connections_is_said_with_the_statement_that_lifts_it(
    settings: Settings,
    administer: Administer,
    role: str,
    capfd: Captured,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    cause: str,
    remedy: str,
) -> None:
    monkeypatch.setattr(connection, 'RETRY_SECONDS', (0.0, 0.0))
    monkeypatch.setattr(connection, 'REACHED', set())
    deliver_october(settings.data_dir, range(1, 2))
    administer(f'grant create on database {settings.dbname} to "{role}"')
    named = f'role "{role}"' if limit == 'role' else f'database {settings.dbname}'
    administer(f'alter {named} connection limit 0')
    said = refusal(capfd)
    assert cause in said
    lift = remedy.format(role=role, database=settings.dbname)
    assert said.endswith(f'have an administrator run: {lift}')
    administer(lift)
    run_days(1)


@pytest.mark.parametrize(
    ('method', 'password', 'cause', 'remedy'),
    [
        ('scram-sha-256', 'wrong', 'does not take the password of {role}', 'check POSTGRES_USER and POSTGRES_PASSWORD'),
        ('scram-sha-256', '', 'wants a password for {role}', 'set POSTGRES_PASSWORD'),
        ('reject', 'secret', 'does not let {role} into the database', 'its pg_hba.conf needs a line'),
        ('peer', 'secret', 'lets {role} in over its socket only where', 'be that user'),
    ],
    ids=['a wrong password', 'no password', 'no line in pg_hba.conf', 'another user of the machine'],
)
def test_who_is_not_let_in_is_told_why(
    settings: Settings,
    access: Callable[[str], None],
    role: str,
    capfd: Captured,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    password: str,
    cause: str,
    remedy: str,
) -> None:
    access(f'local all "{role}" {method}\n')
    monkeypatch.setenv('POSTGRES_PASSWORD', password)
    monkeypatch.setenv('PGPASSFILE', '/nowhere')
    said = refusal(capfd, 'status')
    assert cause.format(role=role) in said
    assert remedy in said
    assert 'secret' not in said


def test_a_password_changed_under_way_is_said_at_once(
    settings: Settings, access: Callable[[str], None], administer: Administer, role: str, capfd: Captured
) -> None:
    administer(f'grant create on database {settings.dbname} to "{role}"')
    deliver_october(settings.data_dir, range(1, 2))
    run_days(1)  # the server has let us in
    access(f'local all "{role}" reject\n')
    assert 'pg_hba.conf' in refusal(capfd)


@pytest.mark.parametrize(
    ('variable', 'value', 'cause', 'remedy'),
    [
        (
            'POSTGRES_DBNAME',
            'nothing here',
            'has no database nothing here',
            'CREATE DATABASE "nothing here" OWNER "postgres"',
        ),
        ('POSTGRES_USER', 'nobody here', 'has no role nobody here', 'CREATE ROLE "nobody here" LOGIN'),
        ('POSTGRES_HOST', '127.0.0.1', 'does not answer', 'start it, or check POSTGRES_HOST'),
        ('POSTGRES_HOST', 'no-such-host.invalid', 'cannot be found', 'check POSTGRES_HOST'),
    ],
)
def test_a_wrong_address_names_what_is_wrong_in_it(
    settings: Settings,
    capfd: Captured,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    cause: str,
    remedy: str,
) -> None:
    monkeypatch.setenv('POSTGRES_PORT', '1' if variable == 'POSTGRES_HOST' else '5432')
    monkeypatch.setenv(variable, value)
    said = refusal(capfd, 'status')
    assert cause in said
    assert remedy in said


# --- what a session is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('code', 'words', 'cause', 'remedy'),
    [
        ('53200', 'out of memory', 'has no memory left', 'lower its work_mem'),
        ('53200', 'out of shared memory', 'has no memory left', 'raise its max_locks_per_transaction'),
        ('53100', 'could not extend file: No space left on device', 'has no space left', 'make room and run it again'),
        ('53400', 'temporary file size exceeds temp_file_limit (1kB)', 'is told to take no more', 'temp_file_limit = -1'),
        ('58030', 'could not read block 3: Input/output error', 'cannot use its disk', 'see its log and that disk'),
        ('57014', 'canceling statement due to statement timeout', 'ended a statement', 'statement_timeout = 0'),
        ('25006', 'cannot execute INSERT in a read-only transaction', 'can only be read', 'set POSTGRES_HOST'),
        ('54001', 'stack depth limit exceeded', 'a limit of PostgreSQL is reached', 'deliver fewer columns'),
    ],
)
def test_what_cannot_get_better_is_tried_once_and_told_with_its_remedy(
    settings: Settings, query: Query, capfd: Captured, code: str, words: str, cause: str, remedy: str
) -> None:
    """The server raises each inside the load's own statement; a sequence, which no rollback resets, counts the tries."""
    deliver_october(settings.data_dir, range(1, 2))
    run_days(1)
    deliver(settings, 'gam_delivery_20251001_more.csv', ad('more'))
    query('create sequence tries')
    query(
        'create function refuse() returns trigger language plpgsql as'
        f" $$ begin perform nextval('tries'); raise '{words}' using errcode = '{code}'; end $$"
    )
    query('create trigger refuse before insert on bronze.gam_delivery_hashrow for each row execute function refuse()')
    said = refusal(capfd)
    assert cause in said
    assert words in said
    assert remedy in said
    assert query('select last_value from tries') == [(1,)]
    assert query('select status from ops.loads order by load_id desc limit 1') == [('failed',)]
    query('drop trigger refuse on bronze.gam_delivery_hashrow')
    run_days(1)
    assert_gold_is_exact(query, settings.data_dir)


def test_columns_of_several_files_are_counted_together(settings: Settings, query: Query, capfd: Captured) -> None:
    """Each file is within the limit, together they are beyond the 1,600 columns of a table."""
    for part in range(2):
        more = ','.join(f'c{part}_{n}' for n in range(900))
        deliver(
            settings, f'gam_delivery_20251001_{part}.csv', ad(f'unit {part}'), header=f'{HEADERS["gam_delivery"]},{more}'
        )
    said = refusal(capfd)
    assert said.startswith('gam_delivery/gam_delivery_20251001_0.csv: bronze.gam_delivery would have more than the 1,600')
    assert '1,800 are new' in said
    assert query('select count(*) from ops.loads') == [(0,)]


def test_a_row_that_fills_too_many_columns_is_named(settings: Settings, query: Query, capfd: Captured) -> None:
    """A row of PostgreSQL has 8,160 bytes, and a short value cannot be kept elsewhere: 1,400 times 8 bytes are more."""
    names = [f'c{n}' for n in range(1_400)]
    deliver(
        settings,
        'gam_delivery_20251001.csv',
        f'{ad("narrow")}{"," * 1_400}',
        f'{ad("wide")},{",".join("1234567" for _ in names)}',
        header=f'{HEADERS["gam_delivery"]},{",".join(names)}',
    )
    said = refusal(capfd)
    assert re.match(r'gam_delivery/gam_delivery_20251001\.csv, line 3: .*row is too big.*deliver fewer columns$', said)
    assert query('select count(*) from bronze.gam_delivery') == [(0,)]
    assert query('select status from ops.loads') == [('failed',)]


# --- a disk that is really full ----------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file system of 150 MB for an embedded server: its files fit, and some of its log."""
    place = Path(tempfile.mkdtemp(prefix='kly_disk_', dir='/tmp'))
    if os.geteuid() or subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=150M', 'tmpfs', place], check=False).returncode:
        place.rmdir()
        pytest.skip('only root can make a file system')
    monkeypatch.setenv('KLY_LOCAL_DIR', str(place / 'own'))
    for name in ('POSTGRES_HOST', 'POSTGRES_PORT', 'POSTGRES_USER', 'POSTGRES_PASSWORD'):
        monkeypatch.delenv(name)
    yield place
    subprocess.run([sys.executable, '-m', 'kly_mage', 'stop'], cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(['umount', '--lazy', place], check=True)  # the server's last process may still be on its way out
    place.rmdir()


@pytest.mark.one_version
def test_a_disk_that_is_full_is_said_at_once_and_nothing_is_lost(settings: Settings, small_disk: Path) -> None:
    """A table cannot grow; or the server crashes over its log and cannot recover, for want of room again."""
    rows = [event(f'u{n}', content='a' * 200 + str(n)) for n in range(150_000)]
    deliver(settings, 'ga4_events_20251001.csv', *rows)
    deliver(settings, 'cms_articles_20251001.csv', article('7'))
    command = [sys.executable, '-m', 'kly_mage', 'backfill', '--start', '2025-10-01', '--quiet']
    command += ['--pipeline', 'articles_performance']
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 1
    error = ended.stderr.splitlines()[-1]
    assert 'trying again in 1.0 s' not in ended.stderr
    assert 'No space left on device' in error
    assert 'make room' in error
    assert 'Traceback' not in ended.stderr
    subprocess.run(['mount', '-o', 'remount,size=1600M', small_disk], check=True)
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr
    assert 'ga4_events: 150,000 read, 150,000 distinct, 150,000 new' in ended.stdout
