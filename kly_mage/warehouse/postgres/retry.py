"""Trying again where that helps: a connection that broke, another transaction in the way."""

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg2
import psycopg2.errors

from kly_mage.common.errors import KlyError, LandingError, RetryableError, UnreachableError, first_line
from kly_mage.warehouse.postgres.connection import RETRY_SECONDS
from kly_mage.warehouse.postgres.refusals import PERMANENT, said

T = TypeVar('T')
logger = logging.getLogger('kly_mage')

# Another transaction; the server itself is well.
_IN_THE_WAY = (
    psycopg2.errors.SerializationFailure,
    psycopg2.errors.DeadlockDetected,
    psycopg2.errors.UniqueViolation,
)


def _broke(error: Any) -> bool:
    """Whether the connection is gone. One that ends while rows are on their way or a COMMIT is, has no class of its own."""
    if isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
        return True
    return type(error) is psycopg2.DatabaseError and error.pgcode is None


def stays(error: BaseException) -> bool:
    """Whether the next try would meet this error again, until a person does something about it.

    What may be another thing in a minute: a server on its way back, a landing zone that is not mounted yet.
    """
    if isinstance(error, KlyError):
        return not isinstance(error, UnreachableError | LandingError)
    return isinstance(error, (*PERMANENT, psycopg2.ProgrammingError, psycopg2.DataError))


def retrying(work: Callable[[], T]) -> T:
    """Do ``work``, again if the connection broke or another transaction was in the way, at most five more times.

    ``work`` opens its own connection. If the embedded server has died, it is started again.

    Raises:
        UnreachableError: the server went away and did not come back.
    """
    for seconds in RETRY_SECONDS:
        try:
            return work()
        except PERMANENT:
            raise
        except (RetryableError, psycopg2.Error) as error:
            # A load may meet these through no fault of its own, and the next try finds another world.
            if not isinstance(error, (RetryableError, *_IN_THE_WAY)) and not _broke(error):
                raise
            logger.warning('%s; trying again in %s s', first_line(error), seconds)
            time.sleep(seconds)
            if not isinstance(error, _IN_THE_WAY):
                from kly_mage.warehouse.postgres.embedded import revive  # only who needs it pays for its import

                revive(error)
    try:
        return work()
    except (*PERMANENT, *_IN_THE_WAY):
        raise
    except psycopg2.Error as error:
        if not _broke(error):
            raise
        raise UnreachableError(
            f'PostgreSQL went away and did not come back within {sum(RETRY_SECONDS):.0f} s ({said(error)}); '
            'nothing half-done was kept: see its log, start it, and run it again'
        ) from error
