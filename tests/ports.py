"""Ports for the servers that tests start."""

import socket


def free_port() -> int:
    """A port of this machine that nobody listens on, and that nobody else is given as long as this process runs.

    It stays bound, without anybody listening: a server that takes its address again, as each that the tests start does, gets
    it all the same. Let go of, it could be another's before the server has started.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(('127.0.0.1', 0))
    port = int(held.getsockname()[1])
    held.detach()
    return port
