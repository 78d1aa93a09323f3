"""Delivers one task to its PDS. The intent is committed before the request, and every write names the CID that it replaces.

1. choose: verify, cancel, reject, delete without a known base, or send; before a record is restored, look for it in the
   old collection.
2. record the intent (journal.py), then send put or delete with swapRecord.
3. after InvalidSwap: read the record, compare it (read_back.py), and send again on what is there, MAX_REBASES times.
4. a delete counts as delivered only when no earlier create can land after it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import sqlalchemy as sa

from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from outbox.mirror.hosts import HostReport, Hosts
from outbox.mirror.lanes import Lane, lock_lane, note_limits
from outbox.mirror.namespace_moves import old_place
from outbox.mirror.states import MirrorReason
from outbox.mirror.targets import CHANGE_TARGET, DELETE, PUT, of_target
from outbox.pds.client import (
    READ_TIMEOUT_SECONDS,
    WRITE_TIMEOUT_SECONDS,
    Pds,
    RecordKey,
    Remote,
    RemoteUnknownError,
    is_proven_absent,
    remote_of,
)
from outbox.pds.verdict import Kind, Verdict
from outbox.ports import NO_METRICS, RelayMetrics
from outbox.record.dag_cbor import Record
from outbox.relay.delivery_task import DeliveryTask, with_foreign_references
from outbox.relay.journal import (
    acknowledged_rev,
    close_attempts,
    is_adopted_cid,
    is_our_cid,
    late_creates,
    record_intents,
    unanswered_create,
    unanswered_put,
)
from outbox.relay.lease_clock import Deadline
from outbox.relay.read_back import History, read_back, verify
from outbox.relay.result import DONE, Outcome, Result, encoded, verdict_of
from outbox.threads import in_thread

P = ParamSpec("P")
T = TypeVar("T")

MAX_REBASES: Final = 3
CONTENDED: Final = Verdict(Kind.AMBIGUOUS, "InvalidSwap", 400)
"""Another client writes this record again and again; the lane's other records are not affected."""
LATE_CREATE_WINDOW: Final = timedelta(seconds=60)
"""How long after it was sent a create may still land; a delete within this time proves nothing."""
MAX_CLOCK_JUMP: Final = timedelta(hours=1)
"""How far the database's clock may be set back or forward without harm: a put's age proves nothing within it."""

_Compare = Callable[[DeliveryTask, Remote, bool, History], Outcome]


@dataclass(frozen=True)
class Delivery:
    """Delivers tasks, one at a time per lane; holds no transaction, lock or thread while a request is in flight."""

    log: EventLog
    hosts: Hosts
    pds: Pds
    metrics: RelayMetrics = NO_METRICS

    @property
    def database(self) -> Database:
        return self.log.database

    def begins_with_write(self, task: DeliveryTask) -> bool:
        """Whether the task is sent as it was read, with nothing to be read from the PDS first."""
        has_place = task.op == PUT or task.base is not None
        reads_first = task.successor is not None or task.was_seen_missing or task.restores or task.unread
        may_be_sent = task.is_open and not task.waits_for_consent
        reads_nothing = not (reads_first or task.only_if_ours)
        return may_be_sent and has_place and reads_nothing and task.check() is None

    async def deliver(self, lane: Lane, task: DeliveryTask, timeout: float) -> Result:
        """Bring the PDS to the task's state within `timeout` seconds. Raises LeaseLostError."""
        try:
            return await self._deliver(lane, task, Deadline(timeout))
        except RemoteUnknownError as error:
            return Result(task, Outcome.FAILED, error.verdict)

    async def _deliver(self, lane: Lane, task: DeliveryTask, deadline: Deadline) -> Result:
        if not task.is_open:
            return await self._verify(lane, task, deadline)
        if task.waits_for_consent or (task.op == DELETE and task.was_never_sent):
            return Result(task, Outcome.WAITING if task.waits_for_consent else Outcome.CANCELLED)
        # the new record has other clients' fields before its former copies go
        for key in task.unread:
            former = await self._read(lane, key, deadline)
            task = await in_thread(keep_fields, self.database, lane, task, key, former.body)
        if task.intent is None and (problem := task.check()) is not None:
            return Result(
                task, Outcome.FAILED, Verdict(Kind.REJECTED, error="invalid_record", message=problem)
            )
        if task.op == DELETE and (task.base is None or task.only_if_ours):
            return await self._delete_what_is_there(lane, task, deadline)
        return await self._send(lane, task, deadline)

    async def _delete_what_is_there(self, lane: Lane, task: DeliveryTask, deadline: Deadline) -> Result:
        # without a swap, the delete could land before the create does, which was never answered
        remote = await self._read(lane, task.key, deadline)
        if remote.cid is None:
            absent = Result(task, Outcome.DELIVERED, remote=remote)
            return await self._guard_against_late_creates(absent)
        finding = await in_thread(self._compare, read_back, task, remote)
        if finding is Outcome.HELD:
            return Result(task, Outcome.HELD, remote=remote)
        if finding is Outcome.CANCELLED:
            return await self._leave(task)
        return await self._send(lane, task.on(remote.cid, remote.body), deadline)

    async def _send(self, lane: Lane, task: DeliveryTask, deadline: Deadline) -> Result:
        """Send the task; after each InvalidSwap compare what is there, and send again on it if it is ours."""
        last_known = task.base if task.was_seen_missing else None
        if last_known is not None:
            task = task.on(None, None)
        for _ in range(MAX_REBASES):
            if (refusal := await self._check_other_collection(lane, task, deadline)) is not None:
                return Result(task, Outcome.FAILED, refusal)
            attempt_id = task.intent
            if attempt_id is None:
                [attempt_id] = await in_thread(record_intents, self.database, lane, [task])
            verdict = await self._call(lane.host, task, deadline.within(WRITE_TIMEOUT_SECONDS))
            verdict = verdict_of(task, verdict)
            if verdict.kind is not Kind.READ_BACK:
                outcome = Outcome.DELIVERED if verdict.kind is Kind.DONE else Outcome.FAILED
                return await self._guard_against_late_creates(Result(task, outcome, verdict, attempt_id))
            await in_thread(self._close_attempt, lane, attempt_id, verdict)
            remote = await self._read(lane, task.key, deadline)
            finding = await in_thread(self._compare, read_back, task, remote)
            if finding is Outcome.CANCELLED:
                return await self._leave(task)
            if finding is not Outcome.REBASED:
                credited = attempt_id if finding is Outcome.DELIVERED else None
                return await self._guard_against_late_creates(Result(task, finding, DONE, credited, remote))
            base = remote.cid
            if base is None and task.base is None and task.op != DELETE:
                # it reads as absent and cannot be created: the PDS hides it, and takes writes over what it has
                base = await self._ask(unanswered_create, task.key) or last_known
            task = await in_thread(self._on, task, base, remote.body)
            if task.check() is not None:  # another client's fields break the lexicon
                return Result(task, Outcome.HELD, remote=remote)
        return Result(task, Outcome.FAILED, CONTENDED)

    async def _leave(self, task: DeliveryTask) -> Result:
        """Leave a record that is not ours, once no unanswered write can make it ours any more."""
        now, sent_at = await in_thread(self._unanswered_put, task)
        if sent_at is not None and sent_at + LATE_CREATE_WINDOW > now:
            return Result(task, Outcome.SETTLING, verify_at=min(sent_at, now) + LATE_CREATE_WINDOW)
        return Result(task, Outcome.CANCELLED)

    async def _check_other_collection(
        self, lane: Lane, task: DeliveryTask, deadline: Deadline
    ) -> Verdict | None:
        """Refuse to delete a former copy before the record exists in its new collection: else the PDS drops its blob.

        Refuse to restore a record beside one in the old collection that the log does not know of.
        """
        place = task.successor
        if place is None and task.restores:
            place = await self._ask(old_place, task.key, task.kind, task.subject_id)
        if place is None:
            return None
        is_there = (await self._read(lane, place, deadline)).cid is not None
        if task.successor is not None:
            return None if is_there else NO_SUCCESSOR
        return IS_IN_OLD_COLLECTION if is_there else None

    async def _call(self, host: str, task: DeliveryTask, timeout: float) -> Verdict:
        if task.op == PUT and (body := task.body) is not None:
            verdict = await self.pds.put(host, task.key, body, swap=task.base, timeout=timeout)
        else:
            verdict = await self.pds.delete(host, task.key, swap=task.base, timeout=timeout)
        self.metrics.attempted(task.op, verdict)
        return verdict

    async def _guard_against_late_creates(self, result: Result) -> Result:
        """Keep a delete open while an unanswered create may land after it; verify it later while a duplicate may."""
        if result.task.op != DELETE or result.outcome is not Outcome.DELIVERED:
            return result
        now, late, unanswered = await in_thread(self._late_creates, result.task)
        if unanswered is not None and unanswered + LATE_CREATE_WINDOW > now:
            settles_at = min(unanswered, now) + LATE_CREATE_WINDOW
            return replace(result, outcome=Outcome.SETTLING, verify_at=settles_at)
        return replace(result, verify_at=now + LATE_CREATE_WINDOW if late else None)

    async def _verify(self, lane: Lane, task: DeliveryTask, deadline: Deadline) -> Result:
        """Read the record and compare it; write it again where only writes of ours came in between."""
        remote = await self._read(lane, task.key, deadline)
        finding = await in_thread(self._compare, verify, task, remote)
        is_refuted = await self._is_refuted(lane, task, remote, deadline)
        result = await self._verified(lane, task, remote, finding, deadline, is_refuted=is_refuted)
        return replace(result, is_refuted=is_refuted or result.is_refuted)

    async def _is_refuted(self, lane: Lane, task: DeliveryTask, remote: Remote, deadline: Deadline) -> bool:
        """Return whether the PDS shows another record than it acknowledged, at a revision to which no other client can have brought it.

        At the acknowledged revision itself, a record that is absent may have been taken down.
        """
        expected = task.base if task.op == PUT else None
        is_undecided = task.conflict is not None or task.detached
        if not task.is_acked or is_undecided or remote.cid == expected:
            return False
        acked = await self._ask(acknowledged_rev, task.key)
        if acked is None:
            return False
        timeout = deadline.within(READ_TIMEOUT_SECONDS)
        verdict = await self.pds.newest_commit(lane.host, lane.did, timeout=timeout)
        await in_thread(self.hosts.record, HostReport(lane.host, lane.did, verdict))
        match verdict.body:
            case {"rev": str(rev)}:
                return rev < acked or (rev == acked and remote.cid is not None)
        return False

    async def _verified(
        self,
        lane: Lane,
        task: DeliveryTask,
        remote: Remote,
        finding: Outcome,
        deadline: Deadline,
        *,
        is_refuted: bool,
    ) -> Result:
        if finding is Outcome.MISSING and task.was_rejected and task.recreates:
            return Result(task, Outcome.SEEN, remote=remote)  # as the log says already
        if finding is Outcome.MISSING and task.is_acked and not is_refuted:
            return await self._confirm_missing(lane, task, deadline)
        if finding is Outcome.REBASED and not (task.was_rejected or task.is_as_adopted):
            task = await in_thread(self._on, task, remote.cid, remote.body)
            is_same = task.request_cid == remote.cid  # only other clients' fields differ
            if not is_same and task.check() is None:
                return await self._send(lane, task, deadline)
            return Result(task, Outcome.DELIVERED if is_same else Outcome.HELD, remote=remote)
        result = Result(task, finding, remote=remote)
        result = await self._guard_against_late_creates(result)
        if task.op == DELETE and result.outcome is Outcome.SEEN:
            # a create may land late if the clock has been set
            now, late, _ = await in_thread(self._late_creates, task)
            return replace(result, verify_at=now + LATE_CREATE_WINDOW + MAX_CLOCK_JUMP if late else None)
        return result

    async def _confirm_missing(self, lane: Lane, task: DeliveryTask, deadline: Deadline) -> Result:
        """Ask by a write whether the record is gone: a record that was taken down reads as absent, too.

        It is a put of the last observed body, which changes nothing where the PDS still has it. A PDS that takes it has
        lied if its repo does not have the record even so.
        """
        again = replace(task, op=PUT, desired=task.observed, former_fields=None)
        if again.request_cid != task.base:
            return Result(task, Outcome.MISSING)
        [attempt_id] = await in_thread(record_intents, self.database, lane, [again])
        verdict = await self._call(lane.host, again, deadline.within(WRITE_TIMEOUT_SECONDS))
        if verdict.kind is Kind.READ_BACK:
            try:  # another client may have written it since, which is a foreign edit
                remote = await self._read(lane, task.key, deadline)
            except RemoteUnknownError as error:
                return Result(task, Outcome.FAILED, error.verdict, attempt_id)
            if remote.cid is not None:
                return Result(task, Outcome.FAILED, CONTENDED, attempt_id)
            return Result(task, Outcome.MISSING, verdict, attempt_id)
        if verdict.kind is not Kind.DONE:
            return Result(task, Outcome.FAILED, verdict, attempt_id)
        timeout = deadline.within(READ_TIMEOUT_SECONDS)
        proof = await self.pds.proof_of(lane.host, task.key, timeout=timeout)
        await in_thread(self.hosts.record, HostReport(lane.host, lane.did, proof))
        is_lie = task.base is not None and is_proven_absent(task.key, task.base, proof)
        outcome = Outcome.MISSING if is_lie else Outcome.SEEN
        return Result(task, outcome, verdict, attempt_id, is_refuted=is_lie)

    async def _read(self, lane: Lane, key: RecordKey, deadline: Deadline) -> Remote:
        """Read a record, and record what the answer says of the host's budget; raises RemoteUnknownError."""
        verdict = await self.pds.read_record(lane.host, key, timeout=deadline.within(READ_TIMEOUT_SECONDS))
        await in_thread(self.hosts.record, HostReport(lane.host, lane.did, verdict))
        return remote_of(verdict)

    async def _ask(
        self, query: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **named: P.kwargs
    ) -> T:
        def work() -> T:
            with self.database.read() as connection:
                return query(connection, *args, **named)

        return await in_thread(work)

    def _compare(self, compare: _Compare, task: DeliveryTask, remote: Remote) -> Outcome:
        with self.database.read() as connection:
            was_sent = is_our_cid(connection, task.key, remote.cid)
            if task.only_if_ours and was_sent:  # to ask whether it is there, or to restore it
                was_sent = not is_adopted_cid(connection, task.key, remote.cid)
            return compare(task, remote, was_sent, History(self.log, connection, task))

    def _on(self, task: DeliveryTask, base: str | None, observed: Record | None) -> DeliveryTask:
        """Have the task write over what is there now."""
        with self.database.read() as connection:
            return with_foreign_references(connection, task.on(base, observed))

    def _unanswered_put(self, task: DeliveryTask) -> tuple[datetime, datetime | None]:
        with self.database.read() as connection:
            return self.database.now(connection), unanswered_put(connection, task.key)

    def _late_creates(self, task: DeliveryTask) -> tuple[datetime, Sequence[datetime], datetime | None]:
        with self.database.read() as connection:
            now = self.database.now(connection)
            since = now - LATE_CREATE_WINDOW - MAX_CLOCK_JUMP
            return now, *late_creates(connection, task.key, since)

    def _close_attempt(self, lane: Lane, attempt_id: int, verdict: Verdict) -> None:
        try:
            with self.database.write() as connection:
                now = self.database.now(connection)
                close_attempts(connection, lane.did, [attempt_id], verdict, now)
            if limits := verdict.lane_limits(now):  # a refused write costs points, too
                with self.database.write() as connection:
                    lock_lane(self.database, connection, lane)
                    note_limits(connection, lane.did, limits)
        finally:  # the host's limits hold, whether or not the lane is still ours
            self.hosts.record(HostReport(lane.host, lane.did, verdict))


NO_SUCCESSOR: Final = Verdict(
    Kind.AMBIGUOUS,
    "successor_missing",
    400,
    "the record is not in its new collection, so the copy in the old one is not deleted",
)
IS_IN_OLD_COLLECTION: Final = Verdict(
    Kind.REJECTED,
    MirrorReason.MIGRATION_NEEDED,
    message="the old collection holds a record under the same key: move it by POST /tracks/{id}/migrate-namespace",
)


def keep_fields(
    database: Database, lane: Lane, task: DeliveryTask, key: RecordKey, body: Mapping[str, Any] | None
) -> DeliveryTask:
    """Keep other clients' fields of a former copy for the new record, and beside them what the log says.

    Its delete compares that with the copy: fields of ours with another value are held for the owner. Raises LeaseLostError.
    """
    if body is None or task.desired is None:
        return task
    expected = task.kind.merged({**task.desired, "$type": key.collection}, body)
    with database.write() as connection:
        lock_lane(database, connection, lane)
        connection.execute(CHANGE_TARGET, {**of_target(key), "observed_body": encoded(expected)})
    return replace(task, former_fields={**(task.former_fields or {}), **body})
