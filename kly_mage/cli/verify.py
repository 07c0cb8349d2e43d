"""``verify``: recompute gold from bronze, hash the stored rows again, and name every difference."""

import argparse

from kly_mage.checks.verify import verify
from kly_mage.cli import DONE, FAILED, LOOK
from kly_mage.cli.arguments import add_shape
from kly_mage.common.console import say, say_sentence
from kly_mage.common.records import say_json
from kly_mage.common.settings import load_settings
from kly_mage.common.text import counted
from kly_mage.warehouse.report import Report


def arguments(parser: argparse.ArgumentParser) -> None:
    """In which shape."""
    add_shape(parser)


def run(options: argparse.Namespace) -> int:
    """Say what differs. 1 if anything does, 3 if a mart waits for its refresh."""
    report = verify(load_settings())
    if options.json:
        say_json({'loaded': report is not None, **vars(report or Report())})
        return _code(report)
    if report is None:
        say('nothing has been loaded yet')
        return _code(report)
    for line in (*report.differences, *(f'waiting: {line}' for line in report.waiting)):
        say(line)
    if report.in_gold:
        say_sentence('gold is not what bronze gives: python -m kly_mage rebuild')
    if report.count > report.in_gold:
        say_sentence(
            'bronze was changed by hand: python -m kly_mage repair makes it what the files say; without files, restore it'
        )
    rows = ', '.join(f'{name} {count:,}' for name, count in report.checked.items())
    say_sentence(f'{counted(report.count, "difference")}; rows checked: {rows}')
    return _code(report)


def _code(report: Report | None) -> int:
    if report is None:
        return DONE
    return FAILED if report.count else LOOK if report.waiting else DONE
