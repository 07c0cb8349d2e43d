"""Whether this process may have the memory that reading takes; asked before, because afterwards it cannot be told.

polars is written in Rust: where an allocation fails, the process is aborted, with no exception and no word of ours.
"""

import resource

from kly_mage.common.errors import MemoryLimitError

LEAST = 4 << 30
"""Bytes of addresses a load is sure to work with: it had 2.7 GB on two processors, of which it filled 0.4; more processors,
more threads, each with its own stack and arena."""


def ensure_addresses() -> None:
    """See that no limit (``ulimit -v``) is so low that a load could end in an abort.

    Raises:
        MemoryLimitError: it is.
    """
    allowed = resource.getrlimit(resource.RLIMIT_AS)[0]
    if allowed != resource.RLIM_INFINITY and allowed < LEAST:
        raise MemoryLimitError(
            f'this process may have {allowed >> 20:,} MB of addresses (ulimit -v), and a load needs {LEAST >> 20:,}: '
            'raise that limit, or bound the memory it fills instead (600 MB are enough), by a container or systemd'
        )
