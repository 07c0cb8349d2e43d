"""``verify``: recompute gold from bronze, hash the stored rows again, and name every difference."""

import argparse

from kly_mage.checks.verify import verify
from kly_mage.common.console import say
from kly_mage.common.settings import load_settings


def arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing but what every command takes."""


def run(options: argparse.Namespace) -> int:
    """Say what differs. 1 if anything does, 3 if a mart waits for its refresh."""
    report = verify(load_settings())
    if report is None:
        say('nothing has been loaded yet')
        return 0
    for line in (*report.differences, *(f'waiting: {line}' for line in report.waiting)):
        say(line)
    if report.in_gold:
        say('gold is not what bronze gives: python -m kly_mage rebuild')
    if report.count > report.in_gold:
        say('bronze was changed by hand: python -m kly_mage repair makes it what the files say; without files, restore it')
    rows = ', '.join(f'{name} {count:,}' for name, count in report.checked.items())
    say(f'{report.count:,} differences; rows checked: {rows}')
    if report.count:
        return 1
    return 3 if report.waiting else 0
