"""What can go wrong, one exception per kind of mistake. Each message names the cause and the remedy."""

from collections.abc import Iterable


class KlyError(Exception):
    """Something a person can repair; the command line shows the message without a traceback."""


class UsageError(KlyError):
    """The call itself cannot be meant; nothing was tried."""


class SettingsError(UsageError):
    """An option or environment variable has an unusable value."""


class WindowError(UsageError):
    """A block or command does not know which days it is to load."""


class LandingError(KlyError):
    """The landing zone or one of its files cannot be used at all; nothing of it is written."""


class FetchError(KlyError):
    """BigQuery, or something between it and us, refuses what is asked; files that are whole stay."""


class RuleError(KlyError):
    """Rows break a ``stop`` rule of their source; nothing of the load is written."""


class WarehouseError(KlyError):
    """PostgreSQL cannot be reached or is not set up the way this project needs it."""


class UnreachableError(WarehouseError):
    """PostgreSQL does not answer or has no connection left just now; later it may."""


class LimitError(KlyError):
    """Rows or columns are more than PostgreSQL holds; nothing of that load is written."""


class MemoryLimitError(KlyError):
    """This process may have less memory than its work takes; nothing was tried."""


class NotBuiltError(WarehouseError):
    """A table or view of gold is not there yet: nothing was loaded so far; ``LOAD`` makes it."""


LOAD = 'python -m kly_mage backfill --missing'
"""Loads each day that has a file and is not loaded: all of them where nothing is."""


class LockedError(KlyError):
    """Another session holds a lock for longer than we wait; nothing is written."""


class PipelineError(KlyError):
    """A pipeline's ``metadata.yaml`` and its blocks do not fit together."""


class EditorError(KlyError):
    """The Mage editor cannot be started or reached."""


class DashboardError(KlyError):
    """The dashboard cannot be started."""


class RetryableError(Exception):
    """The world has changed under a load; the next try sees the new one."""


class ReadAgainError(RetryableError):
    """A load counted on rows that were taken out meanwhile; their files have to be read.

    Attributes:
        files: those of which something is kept that does not say enough.
    """

    def __init__(self, told: str, files: Iterable[str] = ()) -> None:
        super().__init__(told)
        self.files = sorted(files)


class OvertakenError(KlyError):
    """The rows that a load was given, which it cannot ask for anew, count on what has gone meanwhile."""


class FileLeftOutError(Exception):
    """A file turned out to be unusable after rows of it were taken; the same work is to begin anew, without it."""


def first_line(error: BaseException) -> str:
    """The first line of an error's text: what happened, without the statement."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
