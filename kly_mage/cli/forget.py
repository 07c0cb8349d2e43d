"""``forget``: a person's rows go out of bronze, rejects and gold; no load brings them back."""

import argparse

from kly_mage.cli import DONE
from kly_mage.cli.arguments import add_by, add_source, said, sources, who
from kly_mage.common.console import note, say
from kly_mage.common.settings import load_settings
from kly_mage.common.text import counted
from kly_mage.loads.forget import forget
from kly_mage.warehouse.choice import warehouse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Who is to be forgotten, and by whom."""
    parser.add_argument('--user', type=said, metavar='ID', required=True, help='as the source knows him: user_pseudo_id')
    add_source(parser)
    add_by(parser)
    parser.add_argument('--dry-run', action='store_true', help='say what would go, take nothing out')


def run(options: argparse.Namespace) -> int:
    """Take the rows out and build gold anew, in one transaction."""
    of, keep = warehouse(load_settings()), not options.dry_run
    settings = of.reach()
    done = forget(settings, sources(options), options.user, who(options), keep=keep)
    for each in done:
        note(f'{each.source}: {counted(each.rows, "row")}, {counted(each.rejects, "reject")}')
    told = counted(sum(each.rows for each in done), 'row')
    if not keep:
        say(f'{told} would go; --dry-run takes nothing out')
        return DONE
    note('  from now on loads leave out what files bring of this person; the files, backups and outputs of blocks in Mage')
    note('  still hold what they held')
    for line in of.holding_still():
        note(f'  {line}')
    say(f'{told} taken out of bronze and gold, for good')
    return DONE
