"""Trying again where that helps: a connection that broke, another transaction in the way."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import psycopg2
import psycopg2.errors

from kly_mage.common.errors import RetryableError, WarehouseError, first_line
from kly_mage.warehouse.postgres.connection import RETRY_SECONDS
from kly_mage.warehouse.postgres.embedded import revive

T = TypeVar('T')
logger = logging.getLogger('kly_mage')

# A load may meet these through no fault of its own, and the next try finds another world.
TRANSIENT = (
    RetryableError,
    psycopg2.OperationalError,
    psycopg2.InterfaceError,
    psycopg2.errors.SerializationFailure,
    psycopg2.errors.DeadlockDetected,
    psycopg2.errors.UniqueViolation,
)
# The next try would meet these again: no space, a limit somebody has set, somebody who wanted it to end.
_PERMANENT = (
    psycopg2.errors.OutOfMemory,
    psycopg2.errors.ConfigurationLimitExceeded,
    psycopg2.errors.InsufficientResources,
    psycopg2.errors.QueryCanceled,
    psycopg2.errors.IoError,
)


def retrying(work: Callable[[], T]) -> T:
    """Do ``work``, again if the connection broke or another transaction was in the way, at most five more times.

    ``work`` opens its own connection. If the embedded server has died, it is started again.

    Raises:
        WarehouseError: the server has no space left for it.
    """
    for seconds in RETRY_SECONDS:
        try:
            return _once(work)
        except _PERMANENT:
            raise
        except TRANSIENT as error:
            logger.warning('%s; trying again in %s s', first_line(error), seconds)
            time.sleep(seconds)
            if not isinstance(error, psycopg2.errors.UniqueViolation | psycopg2.errors.DeadlockDetected):
                revive(error)
    return _once(work)


def _once(work: Callable[[], T]) -> T:
    try:
        return work()
    except psycopg2.errors.DiskFull as error:
        raise WarehouseError(
            f'PostgreSQL has no space left ({first_line(error)}); nothing half-done was kept: make room and run it again'
        ) from error
