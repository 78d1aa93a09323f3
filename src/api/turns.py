"""One command of an account at a time, waited for without a thread: the append lock would make them serial anyway.

Else a busy account, or one whose lock somebody holds, would use up the threads and connections of all.
"""

import asyncio
from weakref import WeakValueDictionary


class Turns:
    """The turns of one process; those of other processes meet at the append lock."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, did: str) -> asyncio.Lock:
        """Return the account's lock, which is forgotten once nobody holds or awaits it."""
        if (lock := self._locks.get(did)) is None:
            lock = self._locks[did] = asyncio.Lock()
        return lock
