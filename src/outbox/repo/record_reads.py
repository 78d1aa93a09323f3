"""Reads what a PDS has now of single records, for people who look at them.

A record is read once in a few seconds however many ask, few are read at once, and each only while its host may be
sent requests.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from eventstore.coordination.threads import Turns
from outbox.mirror.hosts import PacedPds
from outbox.pds.client import RecordKey, Remote, RemoteUnknownError

FRESH_SECONDS: Final = 5.0
READ_TIMEOUT_SECONDS: Final = 5.0
"""With the wait for a turn: a page waits for it."""
MAX_CONCURRENT_READS: Final = 8
MAX_CONCURRENT_READS_OF_A_HOST: Final = 2
MAX_KEPT_RECORDS: Final = 64
"""Of up to 2 MB each; more are read anew each time."""
NO_HOST: Final = "no_host: the account has no PDS that we know"
TIMED_OUT: Final = f"timeout: the PDS did not answer within {READ_TIMEOUT_SECONDS:g} seconds"


@dataclass(frozen=True)
class PresentRecord:
    """The PDS's answer at this time; without one, `problem` says why."""

    at: datetime
    remote: Remote | None = None
    problem: str | None = None


class RecordReads:
    """Shares each answer between those who ask within FRESH_SECONDS."""

    def __init__(self, pds: PacedPds) -> None:
        self._pds: Final = pds
        self._reads: Final[dict[object, asyncio.Task[PresentRecord]]] = {}
        self._turns: Final = Turns(MAX_CONCURRENT_READS_OF_A_HOST, MAX_CONCURRENT_READS)

    async def read(self, host: str, key: RecordKey, known_cid: str | None) -> PresentRecord:
        """Return what the PDS has; an answer from before `known_cid` was known is not used again."""
        if not host:
            return PresentRecord(datetime.now(UTC), problem=NO_HOST)
        wanted = (host, key, known_cid)
        if (reading := self._reads.get(wanted)) is None:
            reading = self._reads[wanted] = asyncio.create_task(self._read(host, key))
            reading.add_done_callback(lambda _: self._forget_later(wanted))
        return await asyncio.shield(reading)

    def _forget_later(self, wanted: object) -> None:
        seconds = FRESH_SECONDS if len(self._reads) <= MAX_KEPT_RECORDS else 0
        asyncio.get_running_loop().call_later(seconds, self._reads.pop, wanted, None)

    async def _read(self, host: str, key: RecordKey) -> PresentRecord:
        try:
            async with asyncio.timeout(READ_TIMEOUT_SECONDS), self._turns.of(host):
                remote = await self._pds.get(host, key)
        except RemoteUnknownError as error:
            return PresentRecord(datetime.now(UTC), problem=str(error))
        except TimeoutError:
            return PresentRecord(datetime.now(UTC), problem=TIMED_OUT)
        return PresentRecord(datetime.now(UTC), remote)
