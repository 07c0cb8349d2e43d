"""``forget``: a person's rows go out of bronze and gold, and stay out."""

from collections.abc import Iterable

from kly_mage.common.errors import UsageError
from kly_mage.common.settings import Settings
from kly_mage.declared import SOURCES
from kly_mage.landing.parted import sweep
from kly_mage.loads import runner
from kly_mage.loads.depends import parts_of
from kly_mage.warehouse.postgres import forgotten as warehouse
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.ddl import ensure_schema
from kly_mage.warehouse.postgres.forgotten import Removed
from kly_mage.warehouse.postgres.retry import retrying


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

    def work() -> list[Removed]:
        ensure_schema(settings)
        with connect(settings) as connection, connection.cursor() as cursor:
            block = lambda name: runner.Block(name, 'data_exporter', 'sql', ()).sql()  # noqa: E731
            done = warehouse.forget(cursor, chosen, person, by, block)
            if not keep:
                connection.rollback()
            return done

    done = retrying(work)
    if keep:
        sweep(parts_of(settings), whole=True)
    return done
