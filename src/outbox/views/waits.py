"""Lets requests wait for the record of a subject to reach the PDS."""

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from aggregates.published import Subject
from eventstore.coordination.poller import Poller
from eventstore.sql.database import Database
from outbox.relay.relay import Relay
from outbox.threads import THREADS
from outbox.views.status import Mirror, mirrors

POLL_SECONDS: Final = 0.05
"""Between two polls, for what another process settles and has not announced."""
NOTHING: Final[Mapping[Subject, int]] = MappingProxyType({})
logger = logging.getLogger("mastertape.outbox")


class MirrorWaits:
    """Knows the mirrors of the subjects that requests wait for; polls at once when a relay has settled something."""

    def __init__(self, database: Database, relay: Relay | None = None) -> None:
        self.on_settled: Callable[[str | None], object] = lambda _did: None
        """Called with the account for which a relay has settled something; None where another process did."""
        self._database: Final = database
        self._poller: Final = Poller[tuple[str, Subject], Mirror | int](
            self._read, THREADS, every_seconds=POLL_SECONDS, logger=logger, failed="mirror_wait_read_failed"
        )
        if relay is not None:
            relay.on_settled = self.wake

    def wake(self, did: str | None = None, acknowledged: Mapping[Subject, int] = NOTHING) -> None:
        """Poll at once, since something was settled that a request may wait for: of this account, with these generations, or in another process."""
        self._poller.tell({(did or "", subject): generation for subject, generation in acknowledged.items()})
        self._poller.wake()
        self.on_settled(did)

    async def wait(self, did: str, subject: Subject, generation: int | None, seconds: float) -> bool:
        """Wait until the account's PDS has this generation or a newer one; False when time is up or only a person can help.

        Without a generation, until nothing is left to do for the record, its blob and its earlier places included.
        """

        def verdict(mirror: Mirror | int) -> bool | None:
            if isinstance(mirror, int):
                return (generation is not None and mirror >= generation) or None
            if mirror.is_settled if generation is None else mirror.acked_generation >= generation:
                return True
            return False if mirror.needs_intervention else None

        return await self._poller.wait((did, subject), verdict, seconds)

    async def finish(self) -> None:
        """Wait for the last poll to end. Call it once no request waits."""
        await self._poller.finish()

    def _read(self, subjects: list[tuple[str, Subject]]) -> dict[tuple[str, Subject], Mirror | int]:
        ids_of: dict[tuple[str, str], list[int]] = defaultdict(list)
        for did, (kind, subject_id) in subjects:
            ids_of[did, kind].append(subject_id)
        with self._database.read_committed() as connection:
            return {
                (did, Subject(kind, subject_id)): mirror
                for (did, kind), ids in ids_of.items()
                for subject_id, mirror in mirrors(connection, did, kind, ids).items()
            }
