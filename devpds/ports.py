"""Ports for servers that stop and start again, while other processes look for ports as well."""

import fcntl
import functools
import os
import random
import socket
import tempfile
from pathlib import Path

_given: set[int] = set()


@functools.cache
def _claims() -> int:
    """The file whose byte N is locked by the process that was given port N; open until this process ends."""
    path = Path(tempfile.gettempdir()) / f"mastertape-ports-{os.getuid()}"
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def free_port() -> int:
    """Return a free port that nobody else gets from here while this process lives.

    A server that is down for a moment would else lose its port to another one, whose answers pass for its own. The port is
    below the ephemeral range, so that no outgoing connection takes it meanwhile.
    """
    while True:
        port = random.randint(10_000, 32_000)  # noqa: S311 (no secret)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                fcntl.lockf(_claims(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
            except OSError:
                continue
        if port not in _given:  # a process never excludes itself
            _given.add(port)
            return port
