"""Compares the record on the PDS with what the log says: after InvalidSwap, before a delete without a base, and to verify.

Our own writes are recognized by the CIDs of recorded attempts, or by generation and content, so that a crash between
the PDS's answer and its recording never looks like another client's edit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from aggregates.published import Published
from eventstore.change import of_class
from eventstore.event_log import EventLog
from outbox.mirror.targets import DELETE, PUT
from outbox.pds.client import Remote
from outbox.record.kind import GENERATION
from outbox.relay.delivery_task import DeliveryTask
from outbox.relay.result import Outcome


@dataclass(frozen=True)
class History:
    """What the log says of a task's subject, read only for what nothing else explains."""

    log: EventLog
    connection: sa.Connection
    task: DeliveryTask

    @property
    def _stream(self) -> tuple[str, UUID]:
        return self.task.key.did, self.task.subject.stream_id

    def adopted_cid(self) -> str | None:
        recorded = self.log.stream(self.connection, *self._stream, upto_version=1)
        first: Any = recorded[0].event if recorded else None
        return first.cid if isinstance(first, self.task.kind.aggregate.Adopted) else None

    def state_at(self, generation: int) -> Published | None:
        found = self.log.state_at_position(self.connection, *self._stream, generation)
        return of_class(self.task.kind.aggregate, found.state) if found is not None else None


def read_back(task: DeliveryTask, remote: Remote, was_sent: bool, history: History) -> Outcome:
    """Compare the record with a task that is to be sent; docs/architecture.md has the table."""
    if remote.cid == task.request_cid or (was_sent and _is_sent_ahead(task, remote.body or {})):
        return Outcome.DELIVERED
    if task.only_if_ours and remote.cid is not None:  # its account leaves
        is_ours = was_sent or (remote.body is not None and _is_ours(task, remote.body, history))
        return Outcome.REBASED if is_ours else Outcome.CANCELLED
    if remote.cid is None or remote.body is None:
        return Outcome.REBASED if task.base is None or task.recreates else Outcome.MISSING
    own_part = task.kind.own_part
    is_known = (
        (task.op == DELETE and task.successor is None)
        or was_sent
        or (task.observed is not None and own_part(remote.body) == own_part(task.observed))
        or (task.base is None and history.adopted_cid() == remote.cid)  # nothing newer was observed
        or _is_ours(task, remote.body, history)
    )
    if is_known and task.successor is not None and not was_sent:
        # A namespace move must not delete other clients' later edits.
        is_known = task.kind.merged({}, remote.body) == task.kind.merged({}, task.observed)
    if is_known:
        return Outcome.REBASED
    may_take_over = task.op == PUT and task.kind.may_take_over(task.observed or {}, remote.body)
    return Outcome.TAKEN_OVER if may_take_over else Outcome.HELD


def _is_sent_ahead(task: DeliveryTask, body: Mapping[str, Any]) -> bool:
    """Whether it is the task's generation, which refers to what the other records of its batch became, or names the newest of theirs."""
    gen = body.get(GENERATION)
    if not task.kind.refers_to_others or task.body is None or not isinstance(gen, int) or gen < task.gen:
        return False
    return task.kind.own_part(body) == task.kind.own_part(task.body)


def verify(task: DeliveryTask, remote: Remote, was_sent: bool, history: History) -> Outcome:
    """Compare the record with the state that was last observed, where nothing is to be sent."""
    if task.detached or task.op == DELETE:
        return _verify_absent(task, remote, was_sent, history)
    if task.conflict is not None and remote.cid == task.base:
        return Outcome.REBASED  # the foreign edit was taken back
    if remote.cid is None:
        return Outcome.MISSING
    if remote.cid in {task.base, task.conflict}:
        return Outcome.REBASED if task.is_outdated else Outcome.SEEN
    return read_back(task, remote, was_sent, history)


def _verify_absent(task: DeliveryTask, remote: Remote, was_sent: bool, history: History) -> Outcome:
    """Compare what was last observed to be absent, or is to be: a record of ours is back, or has landed late."""
    if remote.body is not None and (was_sent or _is_ours(task, remote.body, history)):
        return Outcome.REBASED
    if task.conflict is not None and remote.cid in {None, task.base}:
        return Outcome.REBASED  # the foreign edit was taken back
    is_over = task.was_rejected and not task.is_former and remote.cid is None
    return Outcome.DELIVERED if is_over else Outcome.SEEN


def _is_ours(task: DeliveryTask, body: Mapping[str, Any], history: History) -> bool:
    """Whether the body is the subject's record at the generation that it names."""
    gen = body.get(GENERATION)
    if not isinstance(gen, int):
        return False
    state = history.state_at(gen)
    if state is None or not state.wants_record:
        return False
    expected = task.kind.record_of(state, gen)
    return task.kind.own_part(body) == task.kind.own_part(expected)
