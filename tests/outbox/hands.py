"""Relays that claim and give back lanes at the same time, and who holds what as they believe."""

import threading
from collections import Counter

from eventstore.database import Database
from outbox.mirror.lanes import Lane, release
from tests.eventstore.threads import together
from tests.outbox.rows import claimed


class Hands:
    """Lets no lane be in two hands, and no host have more of them under way than `cap`."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._lock = threading.Lock()
        self._held: dict[str, str] = {}
        self.claims = 0

    def claim(self, database: Database, *, relays: int, rounds: int, limit: int) -> None:
        """Let so many relays claim again and again, each giving back what it held once it has claimed anew."""

        def relay() -> None:
            held: list[Lane] = []
            for _ in range(rounds):
                lanes = claimed(database, limit=limit)
                self._take(lanes)
                self._give(held)
                for lane in held:
                    release(database, lane)
                held = lanes

        together(*[relay] * relays)

    def _take(self, lanes: list[Lane]) -> None:
        with self._lock:
            for lane in lanes:
                assert lane.did not in self._held, "two relays hold one lane"
                self._held[lane.did] = lane.host
                self.claims += 1
            per_host = Counter(self._held.values())
            assert max(per_host.values(), default=0) <= self._cap, per_host

    def _give(self, lanes: list[Lane]) -> None:
        with self._lock:
            for lane in lanes:
                del self._held[lane.did]
