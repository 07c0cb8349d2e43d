"""The numbered steps from one released schema to the next: ``migrations/NNNN_what_it_does.sql``.

Each has one purpose, runs once per database in the order of the numbers, and is never changed once it is released. A file
whose first line begins with ``-- By migrate only:`` loses or moves so much that no other command runs it by itself.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

FOLDER = Path(__file__).with_name('migrations')
_EXPLICIT = '-- By migrate only:'


@dataclass(frozen=True)
class Migration:
    """One step.

    Attributes:
        version: its number, from 1; a database that lacks ``ops.schema_version`` is at 0, the schema of release 1.0.0.
        name: what it does, in the words of its file's name.
        path: the file.
    """

    version: int
    name: str
    path: Path

    @cached_property
    def statements(self) -> str:
        """Its SQL."""
        return self.path.read_text('utf-8')

    @property
    def is_explicit(self) -> bool:
        """Whether only ``migrate`` runs it."""
        return self.statements.startswith(_EXPLICIT)


def migrations() -> list[Migration]:
    """All steps, in their order."""
    found = []
    for path in sorted(FOLDER.glob('*.sql')):
        number, name = path.stem.split('_', 1)
        found.append(Migration(int(number), name.replace('_', ' '), path))
    return found
