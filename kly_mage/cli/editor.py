"""``editor``: PostgreSQL and the Mage editor, until Ctrl-C."""

import argparse
import signal
from types import FrameType

from kly_mage.cli.arguments import number_of
from kly_mage.common.console import note, say
from kly_mage.common.settings import env_path
from kly_mage.mage import editor
from kly_mage.mage.client import EMAIL


def arguments(parser: argparse.ArgumentParser) -> None:
    """Where it listens."""
    parser.add_argument(
        '--port', type=number_of('ports', 65535), metavar='N', help='where it listens (default: KLY_EDITOR_PORT, else 6789)'
    )


def run(options: argparse.Namespace) -> int:
    """Start both, say how to sign in, and stop both in the end."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # a job in the background ignores SIGINT by default
        signal.signal(number, _interrupt)
    running = None
    try:
        running = editor.start(note, options.port)
        say(f'Mage is on {running.url}')
        if running.new_password:
            say(f'sign in as {EMAIL} with the password {running.new_password} (kept in {env_path()})')
        else:
            say(f'sign in as {EMAIL}; the password is {editor.PASSWORD} in {env_path()}')
        say('Ctrl-C stops Mage and PostgreSQL; the data stay')
        running.watch()
    except KeyboardInterrupt:
        note('stopping …')
    finally:
        if running:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave processes behind
            editor.stop(running.settings)
    say('Mage and PostgreSQL are stopped')
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
