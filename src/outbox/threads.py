"""The outbox's own thread pool: when all of its database calls wait, no other work does."""

from typing import Final

from eventstore.coordination.threads import Threads

MAX_THREADS: Final = 16
"""Half of the connections that a process may open."""

THREADS: Final = Threads("outbox", MAX_THREADS)
in_thread: Final = THREADS.run
