"""``rebuild``: empty the marts and fill them again from bronze."""

import argparse

from kly_mage.checks.verify import rebuild
from kly_mage.common.console import say
from kly_mage.common.settings import load_settings
from kly_mage.common.text import counted


def arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing but what every command takes."""


def run(options: argparse.Namespace) -> int:
    """Build gold anew; the rows in bronze stay as they are."""
    say('; '.join(f'{table}: {counted(rows, "row")}' for table, rows in rebuild(load_settings()).items()))
    return 0
