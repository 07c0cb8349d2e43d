"""``new-source``: the files of a further source, to be filled in."""

import argparse

from kly_mage.cli import DONE
from kly_mage.common.console import say
from kly_mage.common.errors import UsageError
from kly_mage.common.settings import PROJECT
from kly_mage.loads import runner
from kly_mage.mage.new_source import new_source


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its name, and the pipeline that its lane belongs to."""
    parser.add_argument('name', metavar='NAME', help='folder in the landing zone and table in bronze')
    parser.add_argument('--pipeline', default='articles_performance', metavar='P', help='which loads it (%(default)s)')


def run(options: argparse.Namespace) -> int:
    """Write them, and say where to go on."""
    if options.pipeline not in runner.names():
        raise UsageError(f'no pipeline {options.pipeline!r}: there are {", ".join(runner.names())}')
    written = new_source(options.name, options.pipeline)
    declaration, block, preview, *others = (path.relative_to(PROJECT.parent) for path in written)
    say(f'written: {", ".join(map(str, others))}')
    say(f'fill in {declaration}, its mart in kly_mage/declared/marts.py, the SQL of the mart, {block}, and {preview}')
    return DONE
