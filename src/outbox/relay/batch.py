"""Sends an account's creates of a replay, or its live edits, together: fenced by the repo's newest commit, so that any other write there refuses them all.

1. read the lane's next records of which this generation was never sent, some lists that have them, and the repo's newest
   commit, unless the run's batch before has just made it. What a batch has tried once is never in another: its records are
   delivered one by one.
2. read what the PDS shows, after the commit: edits go only on the CID that they were made on, and nothing is created beside
   a record of the old collection. What has changed is delivered alone.
3. commit the intents of all of them.
4. send them with applyWrites and swapCommit: if the commit is still the newest, what was read still holds.
5. after a success all are settled at once; an answer that concerns the whole lane is settled as one failure; after any
   other nothing is settled: the lane run goes on with the same records, one by one.
"""

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from eventstore.errors import EventStoreError, LeaseLostError, NewerReleaseError
from eventstore.event_log import EventLog
from eventstore.sql.prepared import Prepared
from eventstore.streams.buckets import for_account
from outbox.lists.newest import LISTS_OF
from outbox.lists.references import MAX_LISTS_AT_ONCE
from outbox.mirror.due import BACKFILL, CLASS, LIVE
from outbox.mirror.hosts import HostReport
from outbox.mirror.lanes import Lane
from outbox.mirror.states import MirrorReason
from outbox.mirror.tables import IS_ATTEMPT_OF_TARGET, attempt, mirror_lane, target
from outbox.mirror.targets import PUT
from outbox.pds.client import WRITE_TIMEOUT_SECONDS, RecordKey, RemoteUnknownError, write_of
from outbox.pds.verdict import (
    BACKFILL_RESERVE,
    CREATE_POINTS,
    LIVE_RESERVE,
    PARKS,
    PUT_POINTS,
    UNREADABLE,
    Kind,
    Verdict,
)
from outbox.record.dag_cbor import is_record_cid
from outbox.record.kind import GENERATION, RecordKinds
from outbox.relay.delivery import Delivery
from outbox.relay.delivery_task import DeliveryTask, is_batch, next_targets, read_subjects, task_of
from outbox.relay.journal import record_intents
from outbox.relay.lease_clock import Deadline
from outbox.relay.result import SCOPE_ERRORS, Outcome, Result, verdict_of
from outbox.repo.pages import RECORDS_PER_PAGE, Entry
from outbox.repo.reads import RepoReads
from outbox.threads import in_thread

logger = logging.getLogger("mastertape.outbox")

MAX_BATCH_RECORDS: Final = 50
"""A PDS takes 200, but more than these are hardly faster, and a live edit of the account waits for them."""
MAX_BATCH_BYTES: Final = 128 * 1024
"""@atproto/pds 0.4 takes requests of 150 KB."""
WITHOUT_EFFECT: Final = (*PARKS, Kind.NOT_SENT)
"""Outcomes of a batch that may be made again. One over the account's limit may be over it each time."""
READ_ALONE: Final = 3
"""So few records of a collection are read one by one: a page of it may be of long lists."""
MAX_READ_SECONDS: Final = 5.0
"""A slower PDS is sent its records one by one: the run needs its time for that."""
OF_LANE: Final = (*WITHOUT_EFFECT, Kind.PACED)
"""Answers that concern the whole lane."""
REFUSED: Final = "batch: "
"""Before the name of the error, since it may be that of any record of the batch."""


def next_batch(
    log: EventLog, lane: Lane, kinds: RecordKinds, first: DeliveryTask, done: Sequence[str]
) -> list[DeliveryTask]:
    """Read the records that may go with `first`, which is among them; one or none where there is no batch to make."""
    is_replay = first.is_backfill
    with log.database.read() as connection:
        now = log.database.now(connection)
        room = _room(connection, lane, now, is_replay=is_replay)
        wanted = {"did": lane.did, "now": now, "done": done, "room": room, "backfill": is_replay}
        rows = [
            row
            for row in _NEXT_OF_CLASS.start(connection, wanted).all()
            if row.desired_op == PUT and (row.observed_body is None) is is_replay and not row.was_tried
        ]
        if not is_replay:
            rows += _lists_of(connection, kinds, lane.did, rows, room - len(rows))
        read = read_subjects(log, connection, rows)
        found: list[DeliveryTask] = []
        size = 0
        for row in rows:
            task = task_of(log, connection, row, kinds, read)
            if not (task.is_batchable or task.may_refer_ahead) or (body := task.body) is None:
                continue
            if is_replay:
                task = task.on(None, None)
            if task.check() is not None:
                continue
            write = write_of(task.key, body, creates=is_replay)
            more = len(json.dumps(write, ensure_ascii=False).encode())
            if size + more > MAX_BATCH_BYTES:
                if task.is_open:
                    break
                continue  # a shorter list may fit
            size += more
            found.append(task)
        return found


def _lists_of(
    connection: sa.Connection, kinds: RecordKinds, did: str, rows: Sequence[Any], room: int
) -> Sequence[Any]:
    """Return some lists that refer to these records, and are to refer to what they become."""
    uris = [RecordKey(did, row.collection, row.rkey).uri for row in rows if row.is_listed]
    at_most = min(room, MAX_LISTS_AT_ONCE - sum(kinds[row.kind].refers_to_others for row in rows))
    if not uris or at_most <= 0:
        return ()
    return LISTS_OF.start(connection, {"did": did, "uris": uris, "at_most": at_most}).all()


def refer_ahead(tasks: Sequence[DeliveryTask]) -> list[DeliveryTask]:
    """Have records refer to what those that are sent with them will be; leave out what stays as its PDS has it.

    What is written for that alone names the generation of these, by which its own have not changed; a newer one follows.
    """
    others = [task for task in tasks if not task.kind.refers_to_others]
    cids, gen = (
        {task.key.uri: task.request_cid for task in others},
        max((task.gen for task in others), default=0),
    )
    ahead = list[DeliveryTask]()
    for task in tasks:
        if task.desired is None:
            continue
        desired = task.kind.referring(task.desired, cids)
        if task.is_open:
            ahead.append(replace(task, desired=desired))
        elif desired != task.desired and gen > task.gen:
            ahead.append(replace(task, desired={**desired, GENERATION: gen}, gen=gen))
    return ahead


def _room(connection: sa.Connection, lane: Lane, now: datetime, *, is_replay: bool) -> int:
    """How many writes the account's points allow, as far as its PDS has named them: live work keeps its share."""
    reserve, cost = (BACKFILL_RESERVE, CREATE_POINTS) if is_replay else (LIVE_RESERVE, PUT_POINTS)
    row = connection.execute(_BUDGETS, for_account(lane.did)).one()
    budgets = (
        (row.hour_limit, row.hour_left, row.hour_reset),
        (row.day_limit, row.day_left, row.day_reset),
    )
    points = [
        (left if reset > now else limit) - reserve * limit
        for limit, left, reset in budgets
        if reset is not None
    ]
    return max(1, min([MAX_BATCH_RECORDS, *(int(each) // cost for each in points)]))


# Built once (CONTRIBUTING.md).

_BUDGETS: Final = sa.select(mirror_lane).where(mirror_lane.c.did == sa.bindparam("did"))
_WAS_TRIED: Final = sa.exists().where(
    IS_ATTEMPT_OF_TARGET,
    attempt.gen == target.desired_gen,
    *(attempt.outcome.is_distinct_from(each) for each in WITHOUT_EFFECT),
)
_OF_CLASS: Final = sa.case((sa.bindparam("backfill", type_=sa.Boolean), BACKFILL), else_=LIVE) == CLASS
_NEXT_OF_CLASS: Final = Prepared(
    lambda dialect: next_targets(
        dialect, _OF_CLASS, _WAS_TRIED.label("was_tried"), limit=sa.bindparam("room")
    )
)


@dataclass(frozen=True)
class SentBatch:
    """A batch that was sent: how all its attempts end, and what is settled of its records."""

    attempt_ids: Sequence[int]
    verdict: Verdict
    results: Sequence[Result] = ()


@dataclass
class BatchRun:
    """The batches of one lane run: each swaps on the commit that the one before it made.

    Holds no transaction, lock or thread while a request is in flight.
    """

    delivery: Delivery
    lane: Lane
    kinds: RecordKinds
    _newest_commit: str | None = None
    _old_places: AbstractSet[tuple[str | None, str]] = frozenset()
    """What the old collection holds at the commit that the next batch of a replay swaps on."""
    _shown: dict[RecordKey, str | None] = field(default_factory=dict)
    """The CIDs of records at the commit that the next batch of edits swaps on."""
    _is_given_up: bool = False
    """Whether the PDS did not say what a batch has to know, or a batch is not worth its reads."""

    def begins_with(self, task: DeliveryTask) -> bool:
        """Whether to try a batch that begins with this record."""
        return task.begins_batch and not self._is_given_up

    async def send(
        self, first: DeliveryTask, seconds: float, done: Sequence[str]
    ) -> SentBatch | Result | None:
        """Send the records that are next with `first`, within `seconds`; None if it is to be delivered alone.

        A host that asks for a pause instead of saying what a batch has to know fails the first. Raises LeaseLostError.
        """
        swap, self._newest_commit = self._newest_commit, None
        if not self.begins_with(first) or self._is_in_old_collection(first):
            return None
        try:
            return await self._send_next(first, swap, Deadline(seconds), done)
        except NewerReleaseError:
            return None
        except (LeaseLostError, SQLAlchemyError, EventStoreError):
            raise
        except RemoteUnknownError as error:
            self._is_given_up = True
            is_paced = error.verdict.kind is Kind.PACED
            return Result(first, Outcome.FAILED, error.verdict) if is_paced else None
        except Exception:  # it fails no lane: delivered alone, the records show which of them it is
            logger.exception("batch_failed", extra=self.lane.log_fields)
            return None

    async def _send_next(
        self, first: DeliveryTask, swap: str | None, deadline: Deadline, done: Sequence[str]
    ) -> SentBatch | None:
        tasks = await in_thread(next_batch, self.delivery.log, self.lane, self.kinds, first, done)
        if not _is_batch_of(first, tasks):
            return None
        is_new, swap = swap is None, swap or await self._read_newest_commit(deadline)
        if is_new:
            self._shown.clear()
        # the swap refuses the batch if anything changes after the commit was read
        if not first.is_backfill:
            tasks = await self._unchanged(tasks)
        elif is_new:
            self._old_places = {
                (kind.old_collection, str(entry.rkey))
                for kind in self.kinds
                if kind.old_collection is not None
                async for entry in self._list(kind.old_collection)
            }
        tasks = refer_ahead([task for task in tasks if not self._is_in_old_collection(task)])
        if not _is_batch_of(first, tasks):
            return None
        attempt_ids = await in_thread(record_intents, self.delivery.database, self.lane, tasks)
        verdict = await self._send(tasks, swap, deadline.within(WRITE_TIMEOUT_SECONDS))
        return self._sent(tasks, attempt_ids, verdict)

    async def _unchanged(self, tasks: Sequence[DeliveryTask]) -> list[DeliveryTask]:
        """Return those that the PDS shows as they were; where that is not known, it is read."""
        unread = defaultdict[str, list[RecordKey]](list)
        for task in tasks:
            if task.key not in self._shown:
                unread[task.key.collection].append(task.key)
        # at once: one after another, those of several kinds may take the time that the write needs
        await asyncio.gather(*(self._read(collection, keys) for collection, keys in unread.items()))
        found = [task for task in tasks if self._shown.get(task.key) == task.base]
        self._is_given_up = not is_batch([task.kind for task in found])
        return found

    async def _read(self, collection: str, keys: Sequence[RecordKey]) -> None:
        """Read a few records one by one, or one page of the collection, from the first of these keys on."""
        if len(keys) <= READ_ALONE:
            pds, host = self.delivery.pds, self.lane.host
            reads = [pds.get(host, key, timeout=MAX_READ_SECONDS) for key in keys]
            for key, remote in zip(keys, await asyncio.gather(*reads), strict=True):
                self._shown[key] = remote.cid
            return
        rkeys, left = sorted(key.rkey for key in keys), RECORDS_PER_PAGE
        async with aclosing(self._list(collection, after=rkeys[0][:-1])) as entries:
            async for entry in entries:
                left -= 1
                if entry.rkey is not None:
                    self._shown[RecordKey(self.lane.did, collection, entry.rkey)] = entry.cid
                if entry.rkey is None or entry.rkey >= rkeys[-1] or not left:
                    break

    def _list(self, collection: str, *, after: str = "") -> AsyncGenerator[Entry]:
        reads = RepoReads(self.delivery.pds, list_seconds=MAX_READ_SECONDS)
        return reads.records(self.lane.host, self.lane.did, collection, after=after)

    async def _read_newest_commit(self, deadline: Deadline) -> str:
        lane = self.lane
        verdict = await self.delivery.pds.newest_commit(
            lane.host, lane.did, timeout=deadline.within(MAX_READ_SECONDS)
        )
        report = HostReport(lane.host, lane.did, verdict)
        await in_thread(self.delivery.hosts.record, report)
        if verdict.kind is Kind.DONE and verdict.cid is not None and is_record_cid(verdict.cid):
            return verdict.cid
        raise RemoteUnknownError(verdict)

    def _is_in_old_collection(self, task: DeliveryTask) -> bool:
        return (task.kind.old_collection, task.key.rkey) in self._old_places

    async def _send(self, tasks: Sequence[DeliveryTask], swap: str, timeout: float) -> Verdict:
        lane = self.lane
        writes = [
            write_of(task.key, task.body, creates=task.is_backfill) for task in tasks if task.body is not None
        ]
        verdict = await self.delivery.pds.apply(
            lane.host, lane.did, writes, swap_commit=swap, timeout=timeout
        )
        for _ in tasks:
            self.delivery.metrics.attempted(PUT, verdict)
        return verdict

    def _sent(self, tasks: Sequence[DeliveryTask], attempt_ids: Sequence[int], verdict: Verdict) -> SentBatch:
        if verdict.kind is Kind.DONE and (made := _made(verdict, len(tasks))) is not None:
            self._newest_commit, cids = made
            commit = verdict.body["commit"]
            self._shown.update(zip((task.key for task in tasks), cids, strict=True))
            results = [
                Result(
                    task,
                    Outcome.DELIVERED,
                    replace(verdict, body={"commit": commit, "cid": cid}),
                    attempt_id,
                )
                for task, attempt_id, cid in zip(tasks, attempt_ids, cids, strict=True)
            ]
            return SentBatch(attempt_ids, verdict, results)
        verdict = verdict_of(tasks[0], verdict)
        is_of_one_kind = len({task.kind.name for task in tasks}) == 1
        is_of_lane = verdict.kind in OF_LANE and (is_of_one_kind or verdict.error not in SCOPE_ERRORS)
        is_refused = is_of_one_kind and verdict.error == MirrorReason.NEEDS_CONSENT
        if is_of_lane or verdict.status is None or is_refused:
            return SentBatch(attempt_ids, verdict, [Result(tasks[0], Outcome.FAILED, verdict)])
        logger.info("batch_refused", extra={**self.lane.log_fields, "error": verdict.error})
        # the PDS has applied none of it, if the answer is its own
        is_own = not verdict.concerns_host and verdict.kind is not Kind.DONE
        kind = Kind.READ_BACK if is_own else Kind.AMBIGUOUS
        refusal = replace(verdict, kind=kind, error=f"{REFUSED}{verdict.error or UNREADABLE}")
        return SentBatch(attempt_ids, refusal)


def _is_batch_of(first: DeliveryTask, tasks: Sequence[DeliveryTask]) -> bool:
    return len(tasks) > 1 and tasks[0].key == first.key


def _made(verdict: Verdict, records: int) -> tuple[str, list[str]] | None:
    """Return the commit that a batch made, and the CIDs of its records; None if the PDS does not say."""
    match verdict.body:
        case {"commit": {"cid": str(commit)}, "results": list(results)} if is_record_cid(commit):
            cids = [each.get("cid") for each in results if isinstance(each, dict)]
            known = [cid for cid in cids if isinstance(cid, str) and is_record_cid(cid)]
            return (commit, known) if len(known) == records else None
    return None
