"""``dashboard``: the numbers as pages in a browser, until Ctrl-C."""

import argparse
from dataclasses import replace

from kly_mage.cli import DONE
from kly_mage.cli.arguments import number_of
from kly_mage.common.console import note, say
from kly_mage.common.settings import env_path, load_settings
from kly_mage.dashboard.server import HOST, Addresses, serve
from kly_mage.warehouse.choice import warehouse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Where it listens."""
    parser.add_argument(
        '--port',
        type=number_of('ports', 65535),
        metavar='N',
        help='where it listens (default: KLY_DASHBOARD_PORT, else 6790)',
    )
    parser.add_argument('--host', default=HOST, metavar='ADDRESS', help=argparse.SUPPRESS)  # 0.0.0.0 in a container


def run(options: argparse.Namespace) -> int:
    """Start PostgreSQL if need be, say how to get in, and serve until somebody stops it."""
    chosen = load_settings()
    port = options.port or chosen.dashboard_port
    warehouse(chosen).reader()  # what cannot be reached at all is told before anything else
    note('starting the dashboard …')
    serve(replace(chosen, dashboard_port=port), port, _say, options.host)
    say(f'the dashboard is stopped{"; PostgreSQL goes on (make stop)" if chosen.warehouse == "postgres" else ""}')
    return DONE


def _say(addresses: Addresses) -> None:
    say(f'the dashboard is on {addresses.with_token}')
    if load_settings().owner_password:
        say(f'or on {addresses.url} with the password of the editor: MAGE_OWNER_PASSWORD in {env_path()}')
    say('Ctrl-C stops it; nothing in it changes anything')
