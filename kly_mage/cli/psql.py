"""``psql``: a shell on the warehouse, or a port for tools that know no socket."""

import argparse
import secrets
import sys

from kly_mage.cli import DONE
from kly_mage.cli.arguments import number_of
from kly_mage.common.console import say
from kly_mage.common.errors import UsageError
from kly_mage.common.settings import Settings, load_settings
from kly_mage.warehouse.postgres.psql import become_psql
from kly_mage.warehouse.postgres.server import server


def arguments(parser: argparse.ArgumentParser) -> None:
    """One statement, or whatever psql takes, or a port."""
    parser.add_argument('-c', '--command', dest='statement', metavar='SQL', help='run this and end')
    parser.add_argument(
        '--tcp',
        type=number_of('ports', 65535),
        metavar='PORT',
        help='no shell: until Ctrl-C tools, such as those on JDBC, read the warehouse on 127.0.0.1:PORT with a password',
    )
    parser.add_argument('arguments', nargs='*', metavar='ARGUMENT', help='what psql itself takes, after --')


def run(options: argparse.Namespace) -> int:
    """Become psql, whose exit code is that of this command then; or keep the port open."""
    chosen = load_settings()
    given = ['--command', options.statement] if options.statement else []
    if options.tcp:
        if given or options.arguments:
            raise UsageError('--tcp opens a port and no shell: leave out what psql would take')
        return _keep_open(chosen, options.tcp)
    settings = server(chosen)
    sys.stdout.flush()
    return become_psql(settings, [*given, *options.arguments])


def _keep_open(chosen: Settings, port: int) -> int:
    from kly_mage.warehouse.postgres import door, embedded  # who wants a shell waits for none of it

    if chosen.host:
        raise UsageError(f'PostgreSQL on {chosen.host} has a port of its own, {chosen.port}: let the tool connect to that')
    password = chosen.password or secrets.token_urlsafe(18)

    def told() -> None:
        say(f'the warehouse is on {door.HOST}:{port}: jdbc:postgresql://{door.HOST}:{port}/{chosen.dbname}')
        said = 'that of POSTGRES_PASSWORD' if chosen.password else f'{password}, for this time'
        say(f'user {embedded.DOOR}, who may only read; the password is {said}')
        say('Ctrl-C closes it')

    door.keep_open(server(chosen), port, password, told)
    say('the port is closed; PostgreSQL goes on (make stop)')
    return DONE
