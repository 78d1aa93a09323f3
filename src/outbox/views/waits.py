"""Lets requests wait for the record of a subject to reach the PDS."""

import asyncio
import logging
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

from aggregates.published import Subject
from eventstore.coordination.commit_signals import ANSWERS, Announcer
from eventstore.coordination.poller import Poller
from eventstore.database import Database
from outbox.relay.relay import Relay
from outbox.threads import THREADS
from outbox.views.status import Mirror, mirrors

POLL_SECONDS: Final = 0.05
"""Between two polls, for what another process settles and has not announced."""
_HURRY: Final = "hurry {seconds:g} {did}"
_HURRIED: Final = re.compile(r"hurry ([0-9.]+) (did:\S+)")
"""The message from a process in which a request waits to those with a relay."""
logger = logging.getLogger("mastertape.outbox")


class MirrorWaits:
    """Knows the mirrors of the subjects that requests wait for; polls at once when a relay has settled something for them.

    A process without a relay says for which account a request is about to wait; only then does a relay announce what it settles.
    """

    def __init__(
        self, database: Database, relay: Relay | None = None, announcer: Announcer | None = None
    ) -> None:
        self._relay: Final = relay
        self._announcer: Final = announcer
        self._elsewhere: Final[Counter[str]] = Counter()
        """How many requests in other processes may still wait for an account."""
        self.on_settled: Callable[[str | None], object] = lambda _did: None
        """Called with the account for which a relay has settled something; None where another process did."""
        self._database: Final = database
        self._poller: Final = Poller(
            self._read, THREADS, every_seconds=POLL_SECONDS, logger=logger, failed="mirror_wait_read_failed"
        )
        if relay is not None:
            relay.on_settled = self._settled

    def hurry(self, did: str, seconds: float) -> ExitStack:
        """Have a relay run the account's lane as soon as it is due, while the block or stack is open, so many seconds at most.

        Begin before the commit that a request is to wait for: the relay is woken by that.
        """
        if self._relay is not None and self._relay.is_running:
            return self._hurry_here(self._relay, did, seconds)
        if self._announcer is not None:
            self._announcer.announce(_HURRY.format(seconds=seconds, did=did))
        return ExitStack()

    def hear(self, message: str) -> None:
        """Do here what `hurry` asks for in another process."""
        if self._relay is None or (asked := _HURRIED.fullmatch(message)) is None:
            return
        did = asked[2]
        self._hurry_here(self._relay, did, float(asked[1])).callback(self._ended_elsewhere, did)
        self._elsewhere[did] += 1

    def wake(self) -> None:
        """Poll at once, since another process has settled something that a request waits for."""
        self._poller.wake()
        self.on_settled(None)

    async def wait(self, subject: Subject, generation: int, seconds: float) -> bool:
        """Wait until the PDS has this generation or a newer one; False when time is up or only a person can help."""
        return await self._wait(subject, lambda mirror: mirror.acked_generation >= generation, seconds)

    async def wait_delivered(self, subject: Subject, seconds: float) -> bool:
        """Wait until nothing is left to do for the record, its blob and its earlier places included."""
        return await self._wait(subject, lambda mirror: mirror.is_settled, seconds)

    async def finish(self) -> None:
        """Wait for the last poll to end. Call it once no request waits."""
        await self._poller.finish()

    def _hurry_here(self, relay: Relay, did: str, seconds: float) -> ExitStack:
        hurrying = ExitStack()
        hurrying.enter_context(relay.hurry(did))
        hurrying.callback(asyncio.get_running_loop().call_later(seconds, hurrying.close).cancel)
        return hurrying

    def _settled(self, did: str) -> None:
        self._poller.wake()
        self.on_settled(did)
        if did in self._elsewhere and self._announcer is not None:
            self._announcer.announce(channel=ANSWERS)

    def _ended_elsewhere(self, did: str) -> None:
        self._elsewhere[did] -= 1
        if not self._elsewhere[did]:
            del self._elsewhere[did]

    async def _wait(self, subject: Subject, is_met: Callable[[Mirror], bool], seconds: float) -> bool:
        def verdict(mirror: Mirror) -> bool | None:
            if is_met(mirror):
                return True
            return False if mirror.needs_intervention else None

        return await self._poller.wait(subject, verdict, seconds)

    def _read(self, subjects: list[Subject]) -> dict[Subject, Mirror]:
        by_kind: dict[str, list[int]] = defaultdict(list)
        for kind, subject_id in subjects:
            by_kind[kind].append(subject_id)
        with self._database.read_committed() as connection:
            return {
                Subject(kind, subject_id): mirror
                for kind, ids in by_kind.items()
                for subject_id, mirror in mirrors(connection, kind, ids).items()
            }
