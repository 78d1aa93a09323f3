"""The outbox's own threads: when all of its database calls wait, no other work is held up."""

from typing import Final

from eventstore.threads import Threads

MAX_THREADS: Final = 16
"""Half of the connections that a process may open."""

THREADS: Final = Threads("outbox", MAX_THREADS)
in_thread: Final = THREADS.run
