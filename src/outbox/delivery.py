"""One target to its PDS: intent first, then send under the swap, and read back when somebody was before us."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from eventstore.database import Database
from outbox.journal import conclude, intend, newest_open_put
from outbox.lanes import Lane
from outbox.lexicon import Lexicon
from outbox.pds import Pds, Remote, RemoteUnknownError
from outbox.read_back import Finding, read_back
from outbox.record import RecordUrls
from outbox.targets import DELETE, PUT
from outbox.threads import in_thread
from outbox.verdict import Kind, Verdict
from outbox.work import Work, our_cids

MAX_REBASES: Final = 3
REQUEST_SECONDS: Final = 30.0
READ_SECONDS: Final = 15.0
CONTENDED: Final = Verdict(Kind.AMBIGUOUS, "InvalidSwap", 400)
"""Somebody else writes this record again and again; that says nothing of its siblings."""
OF_ONE_RECORD: Final = frozenset({Kind.REJECTED, Kind.BLOB_MISSING, Kind.BROKEN})
SETTLING: Final = timedelta(seconds=60)
"""How long a create whose answer was lost may still land: until then its absence proves nothing."""


class Outcome(Enum):
    """How the delivery of one target ended."""

    DELIVERED = "delivered"
    CANCELLED = "cancelled"
    HELD = "held"
    MISSING = "missing"
    SETTLING = "settling"
    FAILED = "failed"


@dataclass(frozen=True)
class Result:
    """The end of a delivery: settled in the log and the target by settle()."""

    work: Work
    outcome: Outcome
    verdict: Verdict
    attempt_id: int | None = None
    remote: Remote | None = None
    settles_at: datetime | None = None

    @property
    def ends_turn(self) -> bool:
        """Whether the lane itself has to wait: its other targets would fare no better now."""
        if self.outcome is not Outcome.FAILED:
            return False
        if self.verdict.kind is Kind.AMBIGUOUS:
            return self.verdict.concerns_host
        return self.verdict.kind not in OF_ONE_RECORD


class _Deadline:
    """When all requests of a delivery must have ended: while the lease still holds."""

    def __init__(self, seconds: float) -> None:
        self._clock = asyncio.get_running_loop().time
        self._ends = self._clock() + seconds

    def within(self, seconds: float) -> float:
        return max(0.0, min(seconds, self._ends - self._clock()))


class Delivery:
    """Delivers one piece of work at a time per lane; holds no transaction, lock or thread while it waits."""

    def __init__(self, database: Database, pds: Pds, urls: RecordUrls, lexicon: Lexicon) -> None:
        self._database = database
        self._pds = pds
        self._urls = urls
        self._lexicon = lexicon

    async def deliver(self, lane: Lane, work: Work, timeout: float) -> Result:
        """Bring the PDS to the work's state within the time, or say why not. Raises LeaseLostError."""
        deadline = _Deadline(timeout)
        if work.op == DELETE and work.was_never_sent:
            return Result(work, Outcome.CANCELLED, Verdict(Kind.DONE))
        if (problem := work.check(self._lexicon)) is not None:
            return Result(
                work, Outcome.FAILED, Verdict(Kind.REJECTED, error="invalid_record", message=problem)
            )
        if work.op == DELETE and work.base is None:
            return await self._delete_unknown(lane, work, deadline)
        return await self._send(lane, work, deadline)

    async def _send(self, lane: Lane, work: Work, deadline: _Deadline) -> Result:
        for _ in range(MAX_REBASES):
            attempt_id = await in_thread(intend, self._database, lane, work)
            verdict = await self._call(work, deadline.within(REQUEST_SECONDS))
            if verdict.kind is not Kind.READ_BACK:
                outcome = Outcome.DELIVERED if verdict.kind is Kind.DONE else Outcome.FAILED
                return Result(work, outcome, verdict, attempt_id)
            await in_thread(self._conclude, attempt_id, verdict)
            try:
                remote = await self._pds.get(lane.host, work.key, timeout=deadline.within(READ_SECONDS))
            except RemoteUnknownError as error:
                return Result(work, Outcome.FAILED, error.verdict)
            finding = await in_thread(self._compare, work, remote)
            if finding is not Finding.REBASE:
                credited = attempt_id if finding is Finding.LANDED else None
                return Result(work, _OUTCOMES[finding], Verdict(Kind.DONE), credited, remote)
            work = work.on(remote.cid, remote.body)
            if work.check(self._lexicon) is not None:  # another client left what no record of ours can hold
                return Result(work, Outcome.HELD, Verdict(Kind.DONE), remote=remote)
        return Result(work, Outcome.FAILED, CONTENDED)

    async def _call(self, work: Work, timeout: float) -> Verdict:
        if work.op == PUT and (body := work.body) is not None:
            return await self._pds.put(work.key, body, swap=work.base, timeout=timeout)
        return await self._pds.delete(work.key, swap=work.base, timeout=timeout)

    async def _delete_unknown(self, lane: Lane, work: Work, deadline: _Deadline) -> Result:
        """Delete a record whose create was never answered: a delete without a swap could be overtaken by it."""
        try:
            remote = await self._pds.get(lane.host, work.key, timeout=deadline.within(READ_SECONDS))
        except RemoteUnknownError as error:
            return Result(work, Outcome.FAILED, error.verdict)
        if remote.cid is not None:
            return await self._send(lane, work.on(remote.cid, remote.body), deadline)
        settles_at = await in_thread(self._settles_at, work)
        if settles_at is not None:
            return Result(work, Outcome.SETTLING, Verdict(Kind.AMBIGUOUS), settles_at=settles_at)
        return Result(work, Outcome.DELIVERED, Verdict(Kind.DONE), remote=remote)

    def _settles_at(self, work: Work) -> datetime | None:
        with self._database.read() as connection:
            sent_at = newest_open_put(connection, work.key)
            now = self._database.now(connection)
        return sent_at + SETTLING if sent_at is not None and sent_at + SETTLING > now else None

    def _conclude(self, attempt_id: int, verdict: Verdict) -> None:
        with self._database.write() as connection:
            conclude(connection, attempt_id, verdict, self._database.now(connection))

    def _compare(self, work: Work, remote: Remote) -> Finding:
        with self._database.read() as connection:
            ours = our_cids(connection, work.key)
        return read_back(work, remote, ours, self._urls)


_OUTCOMES: Final = {
    Finding.LANDED: Outcome.DELIVERED,
    Finding.MISSING: Outcome.MISSING,
    Finding.FOREIGN: Outcome.HELD,
}
