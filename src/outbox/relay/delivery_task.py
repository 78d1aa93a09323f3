"""Reads a lane's next due target as a delivery task, whose body and generation come from the same events."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache, cached_property, partial
from typing import Any, Final, Self
from uuid import UUID

import sqlalchemy as sa
from eventsourcing.utils import get_topic
from sqlalchemy.exc import SQLAlchemyError

from aggregates.published import Published, Subject
from aggregates.published_events import PublishedEvent, RecordRestored
from eventstore.change import RecordedEvent, StreamState, of_class
from eventstore.errors import NewerReleaseError
from eventstore.event_log import EventLog
from eventstore.sql.prepared import Prepared, among
from eventstore.sql.schema import UtcDateTime
from outbox.lists.newest import IS_LISTED, newest_of
from outbox.mirror.due import (
    BACKFILL,
    CLASS,
    COMES_DUE,
    ORDER,
    VERIFY,
    host_open_at,
    is_open,
    latest_of,
    target_due_at,
)
from outbox.mirror.lanes import Lane
from outbox.mirror.namespace_moves import former_records
from outbox.mirror.observe_only import is_observed
from outbox.mirror.states import MirrorReason, TargetState
from outbox.mirror.tables import IF_OURS, NEVER, host, mirror_lane, mirror_target, pds_host, target
from outbox.mirror.targets import DELETE, PLACE, PUT
from outbox.pds.client import RecordKey
from outbox.record.dag_cbor import MAX_RECORD_BYTES, Record, UnencodableError, cid_of, decode, encode
from outbox.record.kind import LexiconError, RecordKind, RecordKinds

BATCH_FROM: Final = 4
"""So many live edits of an account are sent together; fewer are sent faster one by one, but one with what it refers to."""
logger = logging.getLogger("mastertape.outbox")


@dataclass(frozen=True)
class DeliveryTask:
    """A target as it was read, and what is to be sent for it."""

    kind: RecordKind
    key: RecordKey
    subject_id: int
    gen: int
    op: str
    desired: Record | None
    base: str | None
    observed: Record | None
    ever_sent: bool
    attempts: int
    recreates: bool
    since_ack: tuple[RecordedEvent, ...]
    """Of the subject's events after the acknowledged generation at least that of this one, and those that create the record again or bring a blob."""
    is_open: bool = True
    """Whether there is something to send; otherwise the record is only verified."""
    verify_at: datetime = NEVER
    acked_gen: int = 0
    is_acked: bool = False
    """Whether the PDS has confirmed this generation."""
    is_not_allowed: bool = False
    """Whether the login was found not to allow such records."""
    conflict: str | None = None
    detached: bool = False
    is_former: bool = False
    """Whether the record has changed its namespace, and this is the copy in the old one."""
    successor: RecordKey | None = None
    """Of a former copy whose subject is live, where the record is now: the copy is deleted only if the record exists there."""
    former_fields: Record | None = None
    """Of a record that has changed its namespace: the fields of former copies that are not deleted yet."""
    unread: tuple[RecordKey, ...] = ()
    """Former copies that may exist and were never read: other clients may keep fields in them."""
    is_as_adopted: bool = False
    """Whether the subject is unchanged since its adoption: nothing is written until it changes."""
    intent: int | None = None
    """The attempt that was recorded in the transaction that read the task."""
    is_backfill: bool = False
    """Whether it waits for live work."""
    failing_since: datetime | None = None
    first_error: str | None = None
    trace: str | None = None
    """The W3C traceparent of the commit of the generation, where it was traced."""
    has_company: bool = False
    """Whether it is the first of BATCH_FROM live edits that are due, or one of them refers to others, or lists have it."""
    only_if_ours: bool = False
    """Of a delete: whether the record stays if it is not known to be ours."""
    fault: Exception | None = None
    """Why its row or events cannot be read: then this holds only what the row says."""

    @property
    def subject(self) -> Subject:
        return Subject(self.kind.name, self.subject_id)

    @property
    def is_batchable(self) -> bool:
        """Whether it may be sent with others (batch.py): a replay creates the record again, which its PDS had and does not show, or a live edit changes one that it showed."""
        if self.fault is not None or not self.is_open or self.op != PUT or self.waits_for_consent:
            return False
        if self.is_backfill:  # one that has moved was acknowledged elsewhere
            return self.ever_sent and self.acked_gen > 0 and self.recreates and self.observed is None
        return self.is_shown and self.request_cid != self.base

    @property
    def waits_for_consent(self) -> bool:
        """Whether nothing is sent before the next sign-in, or a retry by a person; a delete may have nothing to remove."""
        return self.is_not_allowed and self.is_open and self.op == PUT

    @property
    def may_refer_ahead(self) -> bool:
        """Whether it is as its PDS has it, and may be written for what it refers to alone."""
        return self.kind.refers_to_others and not self.is_open and self.is_shown

    @property
    def is_shown(self) -> bool:
        return self.base is not None and self.observed is not None and not self.unread

    @property
    def begins_batch(self) -> bool:
        return (self.is_backfill or self.has_company) and self.is_batchable

    @property
    def was_rejected(self) -> bool:
        """Whether the PDS rejected this generation: its base is kept, and nothing is sent."""
        return not (self.is_open or self.is_acked or self.detached) and self.conflict is None

    @cached_property
    def body(self) -> Record | None:
        """The record to put: ours, with the fields that other clients keep in it or in its former copy."""
        if self.desired is None:
            return None
        return self.kind.merged(self.desired, {**(self.former_fields or {}), **(self.observed or {})})

    @cached_property
    def encoded(self) -> bytes | None:
        body = self.body
        return encode(body) if body is not None else None

    @cached_property
    def request_cid(self) -> str | None:
        return cid_of(self.encoded) if self.encoded is not None else None

    @property
    def is_outdated(self) -> bool:
        """Whether the record is as it was written here, and would be written otherwise now: an address or the mapping has changed."""
        if not (self.is_acked and self.ever_sent) or self.desired is None or self.observed is None:
            return False
        is_left_alone = self.is_as_adopted or self.is_former or self.detached or self.conflict is not None
        return not is_left_alone and self.kind.own_part(self.desired) != self.kind.own_part(self.observed)

    @property
    def was_never_sent(self) -> bool:
        """Whether the PDS cannot have this record."""
        return not self.ever_sent and self.base is None

    @property
    def was_seen_missing(self) -> bool:
        """Whether the record is to be created again: it has been seen missing, and its last body was dropped for that."""
        return self.recreates and self.base is not None and self.observed is None

    @property
    def restores(self) -> bool:
        """Whether the record is created because its owner, or an operator, had it restored."""
        restored = (isinstance(each.event, RecordRestored) for each in self.since_ack)
        return self.op == PUT and self.base is None and any(restored)

    def with_intent(self, intent: int) -> Self:
        """The same with its attempt, and with what was computed of it: a body is merged and encoded once."""
        task = copy(self)
        vars(task)["intent"] = intent
        return task

    def on(self, base: str | None, observed: Record | None) -> Self:
        return replace(self, base=base, observed=observed, ever_sent=True, intent=None)

    def check(self) -> str | None:
        """Return why the record must not be sent; None if it may."""
        try:
            if (body := self.body) is not None and (data := self.encoded) is not None:
                self.kind.lexicon.check(body)
                return f"record: at most {MAX_RECORD_BYTES} bytes" if len(data) > MAX_RECORD_BYTES else None
        except (LexiconError, UnencodableError) as error:
            return str(error)
        return None


def next_task(
    log: EventLog, lane: Lane, kinds: RecordKinds, now: datetime, done: Sequence[str]
) -> DeliveryTask | None:
    """Read the lane's next due target; None if none is due, or nothing may be sent to its account or host.

    The order: live work, verifications, backfill; within each, failed ones last, deletes before edits, then by age.
    `done` are the places of the records that this run has delivered.
    """
    with log.database.read() as connection:
        wanted = {"did": lane.did, "now": now, "done": list(done), "backfill": lane.backfill}
        rows = (_NEXT if lane.backfill else _NEXT_LIVE).start(connection, wanted).all()
        if not rows:
            return None
        has_company = is_live_edit(rows[0]) and (
            rows[0].is_listed
            or (all(map(is_live_edit, rows)) and is_batch([kinds[row.kind] for row in rows]))
        )
        return replace(task_of(log, connection, rows[0], kinds), has_company=has_company)


def is_batch(of: Sequence[RecordKind]) -> bool:
    """Whether records of these kinds are worth a batch: one that is sent with what it refers to need not be written again."""
    return len(of) >= BATCH_FROM or len({kind.refers_to_others for kind in of}) > 1


def is_live_edit(row: Any) -> bool:
    """Whether a row of `mirror_target` is to be sent at once, on what its PDS showed."""
    is_edit = row.desired_op == PUT and row.observed_body is not None
    return bool(is_edit and row.is_open and not row.backfill)


def stream_of(target: Any) -> UUID:
    return Subject(target.kind, target.subject_id).stream_id


Read = tuple[StreamState | None, Sequence[RecordedEvent]]
"""A subject's latest state, and those events from the acknowledged generation of its target on that tell how to deliver it."""


@cache
def _topics() -> tuple[str, ...]:
    """Return the topics of the events that create the record again, or bring a blob: an account may make very many others."""
    events = _subclasses(PublishedEvent)
    return tuple(get_topic(each) for each in events if each.RECREATES_RECORD or each.BRINGS_BLOB)


def _subclasses(of: type[PublishedEvent]) -> Iterator[type[PublishedEvent]]:
    for each in of.__subclasses__():
        yield each
        yield from _subclasses(each)


def read_subjects(log: EventLog, connection: sa.Connection, targets: Iterable[Any]) -> Mapping[UUID, Read]:
    """Read what `task_of` needs of the subjects of these rows of `mirror_target`."""
    rows = {stream_of(row): row for row in targets}
    positions: dict[str, dict[UUID, tuple[int, int]]] = defaultdict(dict)
    for stream, row in rows.items():
        positions[row.did][stream] = row.acked_gen, row.desired_gen
    found: dict[UUID, Read] = {}
    for did, of_account in positions.items():
        found |= log.latest_since(connection, did, of_account, _topics())
    for stream, (latest, _) in found.items():
        known = log.cache.get(stream)
        position = known.position if known is not None else 0
        # what this transaction has appended itself, a later event, may be rolled back; and its snapshot may be older than what is known
        if latest is not None and position < latest.position <= rows[stream].desired_gen:
            log.cache.put(stream, latest)
    return found


def task_of(
    log: EventLog,
    connection: sa.Connection,
    row: Any,
    kinds: RecordKinds,
    read: Mapping[UUID, Read] | None = None,
) -> DeliveryTask:
    known = _task_of_row(row, kinds)
    try:
        of_stream = stream_of(row)
        latest, recorded = (read or read_subjects(log, connection, [row]))[of_stream]
        assert latest is not None  # noqa: S101 - a target is made by an event of its subject
        subject = of_class(known.kind.aggregate, latest.state)
        task = _task(known, row, recorded, subject)
        task = with_foreign_references(connection, task)
        if row.former or not subject.former_collections:
            return task
        fields, unread = former_records(connection, row.did, row.kind, row.subject_id)
        return replace(task, former_fields=fields, unread=unread if task.op == PUT else ())
    except (SQLAlchemyError, NewerReleaseError):
        raise
    except Exception as error:
        logger.exception("target_unreadable", extra={"did": row.did, "uri": known.key.uri})
        return replace(known, fault=error)


def with_foreign_references(connection: sa.Connection, task: DeliveryTask) -> DeliveryTask:
    """Refer as another client does to records that no account here has: the log knows no newer CID of them."""
    if task.desired is None or task.observed is None:
        return task
    theirs = task.kind.foreign_references(task.desired, task.observed, task.key.did)
    if not theirs:
        return task
    known = newest_of(connection, task.key.did, theirs)
    unknown = {uri: cid for uri, cid in theirs.items() if uri not in known}
    return replace(task, desired=task.kind.referring(task.desired, unknown))


_NOW: Final = sa.bindparam("now", type_=UtcDateTime)
_MAY_BACKFILL: Final = sa.and_(
    sa.bindparam("backfill", type_=sa.Boolean),
    latest_of(mirror_lane.c.backfill_after, host.backfill_after) <= _NOW,
)
_URGENT_ENOUGH: Final = (
    sa.select(sa.case((_MAY_BACKFILL, BACKFILL), else_=VERIFY))
    .join(pds_host, host.host == mirror_lane.c.host)
    .where(
        mirror_lane.c.did == sa.bindparam("did"),
        ~mirror_lane.c.paused,
        ~host.paused,
        ~is_observed(),
        latest_of(mirror_lane.c.paced_until, host_open_at()) <= _NOW,
    )
    .scalar_subquery()
)
"""The least urgent class that the lane may be sent now; NULL, which matches no target, while it may be sent nothing."""


def next_targets(
    dialect: str, which: sa.ColumnElement[bool], *more: sa.ColumnElement[Any], limit: sa.ColumnElement[int]
) -> sa.Select[Any]:
    """Select the account's due targets of these classes that the run has not delivered, in the order of an index."""
    return (
        sa.select(mirror_target, is_open().label("is_open"), IS_LISTED, *more)
        .where(
            target.did == sa.bindparam("did"),
            COMES_DUE,
            which,
            target_due_at() <= _NOW,
            ~among(PLACE, "done", dialect),
        )
        .order_by(*ORDER)
        .limit(limit)
    )


_NEXT, _NEXT_LIVE = (
    Prepared(partial(next_targets, which=CLASS <= _URGENT_ENOUGH, limit=sa.literal_column(str(limit))))
    for limit in (1, BATCH_FROM)
)
"""One for lanes with backfill: PostgreSQL would sort all of a long one."""


def _task(
    known: DeliveryTask,
    row: Any,
    recorded: Sequence[RecordedEvent],
    subject: Published,
) -> DeliveryTask:
    ends = not subject.wants_record
    deleted = ends or row.former
    since_ack = tuple(each for each in recorded if each.position > row.acked_gen)
    adopted = known.kind.aggregate.Adopted
    return replace(
        known,
        op=DELETE if deleted else PUT,
        desired=None if deleted else known.kind.record_of(subject, known.gen),
        base=known.conflict if ends and known.conflict is not None else known.base,
        observed=decode(row.observed_body) if row.observed_body is not None else None,
        recreates=any(
            isinstance(each.event, PublishedEvent) and each.event.RECREATES_RECORD for each in since_ack
        ),
        since_ack=since_ack,
        successor=(
            RecordKey(subject.did, subject.collection, subject.rkey) if row.former and not ends else None
        ),
        is_as_adopted=any(
            each.position == known.gen and isinstance(each.event, adopted) for each in recorded
        ),
    )


def _task_of_row(row: Any, kinds: RecordKinds) -> DeliveryTask:
    """The task as far as the row alone says it: enough to settle a failure to read the rest."""
    return DeliveryTask(
        kind=kinds[row.kind],
        key=RecordKey(row.did, row.collection, row.rkey),
        subject_id=row.subject_id,
        gen=row.desired_gen,
        op=row.desired_op,
        desired=None,
        base=row.observed_cid,
        observed=None,
        ever_sent=row.ever_sent,
        attempts=row.attempts if row.failed_gen == row.desired_gen else 0,
        recreates=False,
        since_ack=(),
        is_open=row.is_open,
        verify_at=row.look_at,
        acked_gen=row.acked_gen,
        is_acked=row.acked_gen >= row.desired_gen,
        is_not_allowed=row.reason == MirrorReason.NEEDS_CONSENT and row.failed_gen > 0,
        conflict=row.conflict_cid if row.state == TargetState.HELD else None,
        detached=row.detached,
        is_former=row.former,
        is_backfill=row.backfill,
        failing_since=row.failing_since,
        first_error=row.first_error,
        trace=row.trace,
        only_if_ours=row.removal == IF_OURS,
    )
