"""One target to its PDS: intent first, then send under the swap, and read back when somebody was before us."""

import asyncio
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from eventstore.database import Database
from outbox.metrics import NO_METRICS, RelayMetrics
from outbox.mirror.host_state import HostReport
from outbox.mirror.hosts import Hosts
from outbox.mirror.lanes import Lane, change_lane, lock_lane
from outbox.mirror.targets import DELETE, PUT
from outbox.pds.client import Pds, RecordKey, Remote, RemoteUnknownError, remote_of
from outbox.pds.verdict import Kind, Verdict
from outbox.record.lexicon import Lexicon
from outbox.record.record import RecordUrls, merged
from outbox.relay.delivery_task import Work
from outbox.relay.journal import LatePuts, conclude, intend, our_cids, puts_since, unanswered_create
from outbox.relay.read_back import Finding, look, read_back
from outbox.relay.result import Outcome, Result
from outbox.threads import in_thread

MAX_REBASES: Final = 3
REQUEST_SECONDS: Final = 30.0
READ_SECONDS: Final = 15.0
LEAST_SHARE: Final = 0.1
"""How much of a delivery's time has to be left for another request."""
CONTENDED: Final = Verdict(Kind.AMBIGUOUS, "InvalidSwap", 400)
"""Somebody else writes this record again and again; that says nothing of its siblings."""
NO_SUCCESSOR: Final = Verdict(
    Kind.AMBIGUOUS, "successor_missing", 400, "the record is not where it moved to, so it stays where it was"
)
SETTLING: Final = timedelta(seconds=60)
"""How long a create may still land after it was sent: until then a delete proves nothing."""
CLOCK_JUMP: Final = timedelta(hours=1)
"""How far the database's clock may be set without harm: within it a put's age proves nothing."""


_Comparison = Callable[[Work, Remote, AbstractSet[str], RecordUrls], Finding]


class _Deadline:
    """When all requests of a delivery must have ended: while the lease still holds."""

    def __init__(self, seconds: float) -> None:
        self._clock = asyncio.get_running_loop().time
        self._ends = self._clock() + seconds
        self._least = seconds * LEAST_SHARE

    def within(self, seconds: float) -> float:
        """The seconds for one more request: 0 when no PDS could answer in what is left."""
        left = self._ends - self._clock()
        return min(seconds, left) if left >= self._least else 0.0


class Delivery:
    """Delivers one piece of work at a time per lane; holds no transaction, lock or thread while it waits."""

    def __init__(
        self,
        database: Database,
        hosts: Hosts,
        pds: Pds,
        urls: RecordUrls,
        lexicon: Lexicon,
        *,
        metrics: RelayMetrics = NO_METRICS,
    ) -> None:
        self._metrics = metrics
        self._database = database
        self._hosts = hosts
        self._pds = pds
        self._urls = urls
        self._lexicon = lexicon

    async def deliver(self, lane: Lane, work: Work, timeout: float) -> Result:
        """Bring the PDS to the work's state within the time, or say why not. Raises LeaseLostError."""
        deadline = _Deadline(timeout)
        if not work.is_open:
            return await self._look(lane, work, deadline)
        if work.op == DELETE and work.was_never_sent:
            return Result(work, Outcome.CANCELLED, Verdict(Kind.DONE))
        if (problem := work.check(self._lexicon)) is not None:
            return Result(
                work, Outcome.FAILED, Verdict(Kind.REJECTED, error="invalid_record", message=problem)
            )
        if work.op == DELETE and work.base is None:
            return await self._delete_unknown(lane, work, deadline)
        return await self._send(lane, work, deadline)

    async def _look(self, lane: Lane, work: Work, deadline: _Deadline) -> Result:
        """Read what somebody doubts, and bring it back to what it was left as where only ours came between."""
        try:
            remote = await self._read(lane, work.key, deadline)
        except RemoteUnknownError as error:
            return Result(work, Outcome.FAILED, error.verdict)
        finding = await in_thread(self._compare, look, work, remote)
        if finding is Finding.MISSING and work.is_acked:
            return await self._confirm_missing(lane, work, deadline)
        if finding is Finding.REBASE and not (work.was_rejected or work.is_as_found):
            return await self._put_right(lane, work.on(remote.cid, remote.body), remote, deadline)
        return await self._recheck_after_delete(
            Result(work, _SEEN[finding], Verdict(Kind.DONE), remote=remote)
        )

    async def _recheck_after_delete(self, result: Result) -> Result:
        """Look at a deleted record again while the clock may have been set on since its create: a copy may be on its way."""
        if result.work.op != DELETE or result.outcome is not Outcome.SEEN:
            return result
        late, now = await in_thread(self._late_puts, result.work)
        return replace(result, look_at=now + SETTLING + CLOCK_JUMP if late else None)

    async def _put_right(self, lane: Lane, work: Work, remote: Remote, deadline: _Deadline) -> Result:
        """Write on top of what was found, unless only what is not ours has changed."""
        if work.request_cid == remote.cid:
            return Result(work, Outcome.DELIVERED, Verdict(Kind.DONE), remote=remote)
        if work.check(self._lexicon) is not None:
            return Result(work, Outcome.HELD, Verdict(Kind.DONE), remote=remote)
        return await self._send(lane, work, deadline)

    async def _confirm_missing(self, lane: Lane, work: Work, deadline: _Deadline) -> Result:
        """Have the PDS say itself whether the record is gone: one that was taken down reads as absent, too."""
        again = work.as_it_was()
        if again.request_cid != work.base:
            return Result(work, Outcome.MISSING, Verdict(Kind.DONE))
        attempt_id = await in_thread(intend, self._database, lane, again)
        verdict = await self._call(lane.host, again, deadline.within(REQUEST_SECONDS))
        outcome = _CONFIRMED.get(verdict.kind, Outcome.FAILED)
        return Result(work, outcome, verdict, attempt_id)

    async def _send(self, lane: Lane, work: Work, deadline: _Deadline) -> Result:
        if (
            work.successor is not None
            and (refusal := await self._check_successor(lane, work, deadline)) is not None
        ):
            return Result(work, Outcome.FAILED, refusal)
        for _ in range(MAX_REBASES):
            attempt_id = await in_thread(intend, self._database, lane, work)
            verdict = await self._call(lane.host, work, deadline.within(REQUEST_SECONDS))
            if verdict.kind is not Kind.READ_BACK:
                outcome = Outcome.DELIVERED if verdict.kind is Kind.DONE else Outcome.FAILED
                return await self._guard_against_late_puts(Result(work, outcome, verdict, attempt_id))
            await in_thread(self._conclude, lane, attempt_id, verdict)
            try:
                remote = await self._read(lane, work.key, deadline)
            except RemoteUnknownError as error:
                return Result(work, Outcome.FAILED, error.verdict)
            finding = await in_thread(self._compare, read_back, work, remote)
            if finding is not Finding.REBASE:
                credited = attempt_id if finding is Finding.LANDED else None
                return await self._guard_against_late_puts(
                    Result(work, _OUTCOMES[finding], Verdict(Kind.DONE), credited, remote)
                )
            hidden = await in_thread(self._taken_down_cid, work, remote)
            work = work.on(hidden or remote.cid, remote.body)
            if work.check(self._lexicon) is not None:  # another client left what no record of ours can hold
                return Result(work, Outcome.HELD, Verdict(Kind.DONE), remote=remote)
        return Result(work, Outcome.FAILED, CONTENDED)

    async def _check_successor(self, lane: Lane, work: Work, deadline: _Deadline) -> Verdict | None:
        """Look whether the record is where it moved to: the PDS deletes a blob that no record names."""
        assert work.successor is not None  # noqa: S101 - asked for those alone that have one
        try:
            there = await self._read(lane, work.successor, deadline)
        except RemoteUnknownError as error:
            return error.verdict
        return NO_SUCCESSOR if there.cid is None else None

    async def _read(self, lane: Lane, key: RecordKey, deadline: _Deadline) -> Remote:
        """Read a record, and note what that leaves of the host's budget; raises RemoteUnknownError."""
        verdict = await self._pds.read_record(lane.host, key, timeout=deadline.within(READ_SECONDS))
        await in_thread(self._hosts.record_if_changed, HostReport.of_limits(lane.host, lane.did, verdict))
        return remote_of(verdict)

    async def _call(self, host: str, work: Work, timeout: float) -> Verdict:
        if work.op == PUT and (body := work.body) is not None:
            verdict = await self._pds.put(host, work.key, body, swap=work.base, timeout=timeout)
        else:
            verdict = await self._pds.delete(host, work.key, swap=work.base, timeout=timeout)
        self._metrics.attempted(work.op, verdict)
        return verdict

    async def _delete_unknown(self, lane: Lane, work: Work, deadline: _Deadline) -> Result:
        """Delete a record whose create was never answered: a delete without a swap could be overtaken by it."""
        try:
            remote = await self._read(lane, work.key, deadline)
        except RemoteUnknownError as error:
            return Result(work, Outcome.FAILED, error.verdict)
        if remote.cid is not None:
            if await in_thread(self._compare, read_back, work, remote) is Finding.FOREIGN:
                return Result(work, Outcome.HELD, Verdict(Kind.DONE), remote=remote)
            return await self._send(lane, work.on(remote.cid, remote.body), deadline)
        return await self._guard_against_late_puts(
            Result(work, Outcome.DELIVERED, Verdict(Kind.DONE), remote=remote)
        )

    async def _guard_against_late_puts(self, result: Result) -> Result:
        """Hold a delete back while a put of before it may come after it, and have it looked at while a copy may."""
        if result.work.op != DELETE or result.outcome is not Outcome.DELIVERED:
            return result
        late, now = await in_thread(self._late_puts, result.work)
        if late.unanswered is not None and late.unanswered + SETTLING > now:
            settles_at = min(late.unanswered, now) + SETTLING
            return replace(result, outcome=Outcome.SETTLING, look_at=settles_at)
        return replace(result, look_at=now + SETTLING if late else None)

    def _late_puts(self, work: Work) -> tuple[LatePuts, datetime]:
        with self._database.read() as connection:
            now = self._database.now(connection)
            return puts_since(connection, work.key, now - SETTLING - CLOCK_JUMP), now

    def _taken_down_cid(self, work: Work, remote: Remote) -> str | None:
        """The CID of a create of ours that nobody answered, where the record reads as absent and cannot be created.

        Then it landed and was taken down: such a record is shown to nobody, and takes writes over what it has.
        """
        if remote.cid is not None or work.base is not None or work.op == DELETE:
            return None
        with self._database.read() as connection:
            return unanswered_create(connection, work.key)

    def _conclude(self, lane: Lane, attempt_id: int, verdict: Verdict) -> None:
        try:
            with self._database.write() as connection:
                now = self._database.now(connection)
                conclude(connection, attempt_id, verdict, now)
            if limits := verdict.lane_limits(now):  # what was refused has cost its points, too
                with self._database.write() as connection:
                    lock_lane(connection, lane)
                    change_lane(connection, lane.did, **limits)
        finally:  # what the host asks for holds whatever becomes of the lane
            self._hosts.record_if_changed(HostReport.of_limits(lane.host, lane.did, verdict))

    def _compare(self, how: _Comparison, work: Work, remote: Remote) -> Finding:
        with self._database.read() as connection:
            ours = our_cids(connection, work.key)
        finding = how(work, remote, ours, self._urls)
        self._metrics.read_back(finding)
        if finding is Finding.REBASE and merged({}, remote.body) != merged({}, work.observed):
            self._metrics.merged()
        return finding


_OUTCOMES: Final = {
    Finding.LANDED: Outcome.DELIVERED,
    Finding.MISSING: Outcome.MISSING,
    Finding.FOREIGN: Outcome.HELD,
}
_SEEN: Final = {**_OUTCOMES, Finding.AGREES: Outcome.SEEN, Finding.REBASE: Outcome.REBASED}
_CONFIRMED: Final = {Kind.DONE: Outcome.SEEN, Kind.READ_BACK: Outcome.MISSING}
"""What it says of a record that reads as absent when the PDS is sent once more what it had."""
