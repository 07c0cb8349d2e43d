"""What ``fetch files`` has put into the landing zone, as a file of it remembers: a line of JSON per copy.

A line is written before its copy takes its name: whatever is broken off, a file that has no line is somebody else's.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from kly_mage.landing import inside

_NOTES, _MOST = '.fetched.jsonl', 256 << 20  # bytes: a million copies


@dataclass(frozen=True)
class Note:
    """One copy.

    Attributes:
        file: its name in the landing zone.
        url: of which object.
        generation: and of which state of it.
        changed_ns: when the file says that it was changed, in nanoseconds since 1970.
    """

    file: str
    url: str
    generation: int
    size: int
    crc32c: str
    changed_ns: int


def read(landing: Path) -> dict[str, list[Note]]:
    """The copies of each file, oldest first. What nobody can read is none.

    Raises:
        LandingError: there are more than there can be, or they are no file.
    """
    if not os.path.lexists(landing / _NOTES):
        return {}
    found = dict[str, list[Note]]()
    for line in inside.read(landing, _NOTES, _MOST).splitlines():
        try:
            note = Note(**json.loads(line))
        except (ValueError, TypeError):  # broken off, or changed by somebody
            continue
        if all(isinstance(value, Note.__annotations__[name]) for name, value in asdict(note).items()):
            found.setdefault(note.file, []).append(note)
    return found


def write(landing: Path, note: Note) -> None:
    """Add a copy, for good when this returns."""
    at = os.open(landing / _NOTES, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o644)
    with os.fdopen(at, 'ab') as notes:
        notes.write(f'\n{json.dumps(asdict(note))}\n'.encode())  # the line before may be broken off
        notes.flush()
        os.fsync(notes.fileno())
