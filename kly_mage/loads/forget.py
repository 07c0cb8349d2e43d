"""``forget``: a person's rows go out of bronze and gold, and stay out."""

from collections.abc import Iterable

from kly_mage.common.errors import UsageError
from kly_mage.common.settings import Settings
from kly_mage.declared import SOURCES
from kly_mage.landing.parted import sweep
from kly_mage.loads import runner
from kly_mage.loads.depends import parts_of
from kly_mage.warehouse.choice import warehouse
from kly_mage.warehouse.forgetting import Removed


def forget(settings: Settings, sources: Iterable[str], person: str, by: str, *, keep: bool = True) -> list[Removed]:
    """Take out all rows of a person in one transaction, and note how loads tell what files bring of him later.

    Args:
        sources: their names; those that know no persons are passed over.
        person: as the sources know him, to the character.
        by: who asks for it.
        keep: False only finds out what would go.

    Raises:
        UsageError: none of the sources knows persons.
    """
    chosen = [SOURCES[name] for name in sources if SOURCES[name].person_column]
    if not chosen:
        raise UsageError('no column of this source stands for persons (person=True in its declaration)')

    text = lambda name: runner.Block(name, 'data_exporter', 'sql', ()).sql()  # noqa: E731
    done = warehouse(settings).forget(chosen, person, by, text, keep=keep)
    if keep:
        sweep(parts_of(settings), whole=True)
    return done
