"""Sessions between two uses: to begin one costs the server what several units of work or questions do."""

import os
import select
import threading

from psycopg2.extensions import connection as Connection


class Idle:
    """Idle sessions, each for whoever asks for the same next.

    Args:
        most: how many there may be; None for any number.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most, self._lock = most, threading.Lock()
        self._sessions: list[tuple[tuple[int, object], Connection]] = []

    def take(self, what: object) -> Connection | None:
        """A session that was left for this, and that the server has not ended; None if there is none."""
        wanted = os.getpid(), what  # a fork has its own
        with self._lock:
            found = next((pair for pair in self._sessions if pair[0] == wanted), None)
            if found is None:
                return None
            self._sessions.remove(found)
        if not _was_ended(found[1]):
            return found[1]
        found[1].close()
        return self.take(what)

    def leave(self, what: object, session: Connection) -> None:
        """Keep a session; if there are too many then, the one of this process that has been idle longest is ended."""
        with self._lock:
            self._sessions.append(((os.getpid(), what), session))
            own = [pair for pair in self._sessions if pair[0][0] == os.getpid()]
            ended = own[0] if self._most is not None and len(own) > self._most else None
            if ended:
                self._sessions.remove(ended)
        if ended:
            ended[1].close()

    def close(self) -> None:
        """End them all."""
        with self._lock:  # another thread may be taking one
            ended, self._sessions = self._sessions, []
        for _, session in ended:
            session.close()


def _was_ended(session: Connection) -> bool:
    """Whether the server has said something unasked to an idle session: that it ends it."""
    poll = select.poll()
    poll.register(session.fileno(), select.POLLIN)
    return bool(poll.poll(0))
