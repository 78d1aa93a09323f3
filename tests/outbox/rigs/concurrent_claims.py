"""Relays that claim and release lanes at the same time."""

import threading
from collections import Counter

from eventstore.sql.database import Database
from outbox.mirror.lanes import Lane, release
from tests.eventstore.threads import together
from tests.outbox.rigs.rows import claimed

MOST_SECONDS_A_ROUND = 6.0


class ConcurrentClaims:
    """Fails when two relays hold one lane, or a host has more than `cap` lanes claimed."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._lock = threading.Lock()
        self._held: dict[str, str] = {}
        self.claims = 0

    def claim(self, database: Database, *, relays: int, rounds: int, limit: int) -> None:
        """Let so many relays claim again and again; each releases its lanes after its next claim."""

        def relay() -> None:
            held: list[Lane] = []
            for _ in range(rounds):
                lanes = claimed(database, limit=limit)
                self._take(lanes)
                self._give(held)
                for lane in held:
                    release(database, lane)
                held = lanes

        together(*[relay] * relays, within=rounds * MOST_SECONDS_A_ROUND)

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
