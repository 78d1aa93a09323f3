"""Derives the state of a record's mirror, and what it waits for, from the rows of target, lane, host and upload."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from eventstore.sql.database import MAX_COUNTED
from eventstore.sql.prepared import Prepared, among
from eventstore.sql.schema import UtcDateTime
from eventstore.streams.buckets import bucket_param, for_account
from outbox.mirror.due import latest_of
from outbox.mirror.observe_only import is_observed
from outbox.mirror.states import PROBED, LaneState, MirrorReason, MirrorState, TargetState
from outbox.mirror.tables import (
    CONCERNS_RELAY,
    IS_OPEN_JOB,
    IS_TROUBLED,
    IS_UPLOAD_OF_TARGET,
    PAST,
    blob_job,
    host,
    lane,
    mirror_lane,
    mirror_target,
    pds_host,
    target,
    upload,
)
from outbox.mirror.targets import DELETE
from outbox.pds.client import RecordKey

MAX_SAMPLED: Final = 1_000
DATED: Final = frozenset({MirrorReason.BACKOFF, MirrorReason.PACED, MirrorReason.VERIFYING})
"""Reasons that end at a known time."""


@dataclass(frozen=True)
class Mirror:
    """How far a subject's record on the PDS is behind the log."""

    subject_id: int
    state: MirrorState
    reason: str | None
    generation: int
    acked_generation: int
    next_attempt_at: datetime | None
    desired_op: str
    record_uri: str
    record_cid: str | None
    last_error: str | None
    attempts: int
    blob_error: str | None
    failing_since: datetime | None = None
    first_error: str | None = None
    last_success_at: datetime | None = None
    """When the PDS last confirmed the record."""
    left: tuple["Mirror", ...] = ()
    """The subject's former records that are still to be deleted."""

    @property
    def is_settled(self) -> bool:
        """Whether the PDS holds what the log says, and no former record."""
        return self.state is MirrorState.DELIVERED and not self.left

    @property
    def needs_intervention(self) -> bool:
        waiting = {MirrorState.HELD, MirrorState.DETACHED, MirrorState.REJECTED, MirrorState.PARKED}
        return self.state in waiting or any(each.state in waiting for each in self.left)


IS_ACKED: Final = target.desired_gen <= target.acked_gen
IS_OF_NEWEST: Final = target.failed_gen >= target.desired_gen
"""Whether the last failure was of the newest generation."""
NEEDS_CONSENT: Final = sa.and_(
    target.state == TargetState.REJECTED, target.reason == MirrorReason.NEEDS_CONSENT, IS_OF_NEWEST
)
BLOB_WANTED: Final = sa.func.coalesce(upload.requested | upload.again, sa.false())
FAILING_SINCE: Final = sa.func.coalesce(target.failing_since, sa.case((BLOB_WANTED, upload.failing_since)))
FIRST_ERROR: Final = sa.func.coalesce(target.first_error, sa.case((BLOB_WANTED, upload.first_error)))
"""Of the record or, where it does not fail itself, of its upload."""
IS_PAUSED: Final = lane.paused | sa.func.coalesce(host.paused, sa.false())
WAITS_FOR_SUCCESSOR: Final = sa.and_(target.former, target.cleared_gen < target.desired_gen)


def _of_host(name: str) -> sa.ColumnElement[datetime]:
    return sa.func.coalesce(host[name], sa.literal(PAST, UtcDateTime()))


_BACKFILL_AFTER: Final = latest_of(lane.backfill_after, _of_host("backfill_after"))
PACED_UNTIL: Final = latest_of(
    lane.paced_until,
    _of_host("paced_until"),
    sa.case((target.backfill, _BACKFILL_AFTER), else_=sa.literal(PAST, UtcDateTime())),
)
WAITS_UNTIL: Final = latest_of(lane.not_before, _of_host("retry_at"), PACED_UNTIL)
"""When the lane may be claimed, by its backoff, its host's breaker and the PDS's rate limits."""
IS_DELAYED: Final = sa.and_(
    lane.lease_owner.is_(None),
    sa.case((target.backfill, lane.backfill_at), else_=lane.due_at) < WAITS_UNTIL,
)
"""Whether it came due while the lane could not be claimed, and no relay has claimed it since."""
STORED_LANE_STATE: Final = lane.state.label("lane_state")
RULES: Final[
    Sequence[tuple[sa.ColumnElement[bool], MirrorState, MirrorReason | sa.ColumnElement[str] | None]]
] = (
    (sa.and_(target.state == TargetState.HELD, target.desired_op != DELETE), MirrorState.HELD, target.reason),
    (sa.and_(target.state == TargetState.HELD, target.former, IS_OF_NEWEST), MirrorState.HELD, target.reason),
    (target.detached, MirrorState.DETACHED, MirrorReason.RECORD_MISSING),
    (target.desired_gen == 0, MirrorState.PENDING, MirrorReason.SUBJECT),
    (sa.and_(IS_ACKED, ~BLOB_WANTED), MirrorState.DELIVERED, None),
    (WAITS_FOR_SUCCESSOR, MirrorState.PENDING, MirrorReason.SUCCESSOR),
    (NEEDS_CONSENT, MirrorState.PARKED, MirrorReason.NEEDS_CONSENT),
    (sa.and_(target.state == TargetState.REJECTED, IS_OF_NEWEST), MirrorState.REJECTED, target.reason),
    (lane.state != LaneState.READY, MirrorState.PARKED, STORED_LANE_STATE),
    (IS_PAUSED, MirrorState.PARKED, MirrorReason.PAUSED),
    (is_observed(), MirrorState.PARKED, MirrorReason.RESTORED),
    (IS_ACKED, MirrorState.PENDING, MirrorReason.BLOB),
    (sa.and_(IS_OF_NEWEST, target.reason.is_not(None)), MirrorState.PENDING, target.reason),
    (sa.and_(IS_DELAYED, PACED_UNTIL >= WAITS_UNTIL), MirrorState.PENDING, MirrorReason.PACED),
    (IS_DELAYED, MirrorState.PENDING, MirrorReason.BACKOFF),
    (sa.true(), MirrorState.PENDING, MirrorReason.SENDING),
)
"""The first rule that holds gives state and reason. `held` and `detached` come before `delivered`, since a change by
another client counts even if the newest generation is acknowledged."""
RULE: Final = sa.case(*((holds, number) for number, (holds, _, _) in enumerate(RULES)))
STATE: Final = sa.case(*((holds, state.value) for holds, state, _ in RULES))
REASON: Final = sa.case(
    *(
        (holds, reason if isinstance(reason, sa.ColumnElement) else sa.literal(reason, sa.Text()))
        for holds, _, reason in RULES
    )
)
TARGETS_AT_WORK: Final = (
    mirror_target.join(mirror_lane, lane.did == target.did)
    .outerjoin(pds_host, host.host == lane.host)
    .outerjoin(
        blob_job,
        sa.and_(IS_UPLOAD_OF_TARGET, ~target.former),
    )
)
"""The tables that STATE and REASON read."""
_SHOWN: Final = (
    *(target.subject_id, target.attempts, target.last_error),
    target.desired_gen.label("generation"),
    target.acked_gen.label("acked_generation"),
    target.acked_at.label("last_success_at"),
    upload.last_error.label("blob_error"),
    FAILING_SINCE.label("failing_since"),
    FIRST_ERROR.label("first_error"),
)
RECORD_COLUMNS: Final[Sequence[sa.ColumnElement[Any]]] = (
    *_SHOWN,
    *(target.former, target.failed_gen, target.not_before),
    WAITS_UNTIL.label("waits_until"),
    lane.probe_at.label("lane_probe_at"),
)
"""What each view of a record shows, and what `next_attempt_at` reads; a target's bodies are large, and in none."""
MIRROR_COLUMNS: Final = (
    *RECORD_COLUMNS,
    *(target.desired_op, target.reason),
    target.observed_cid.label("record_cid"),
    target.collection.label("record_collection"),
    RULE.label("rule"),
    STORED_LANE_STATE,
)
"""What `mirrors_in` reads of TARGETS_AT_WORK beside the `did` and `rkey`, with names that no column of `tracks` has."""
IS_SHOWN: Final = sa.or_(~target.former, target.acked_gen < target.desired_gen)
"""Whether a target is part of its subject's mirror; the current one comes first in `mirrors_in`."""


DECIDES_STATE: Final = sa.or_(~target.former, STATE == MirrorState.HELD)
"""Whether a target decides its subject's state: the current one, and a former one that is held."""


def _mirrors_of(which: sa.ColumnElement[bool]) -> sa.Select[*tuple[Any, ...]]:
    mirror = sa.select(target.did, target.rkey, *MIRROR_COLUMNS).select_from(TARGETS_AT_WORK)
    of_kind = (target.bucket == bucket_param("did"), target.kind == sa.bindparam("kind"))
    return mirror.where(which, *of_kind, IS_SHOWN).order_by(target.former)


OF_SUBJECT: Final = Prepared(lambda _: _mirrors_of(target.subject_id == sa.bindparam("subject_id")))
"""PostgreSQL plans a list of one anew each time, which takes ten times as long as to read it."""
_OF_SUBJECTS: Final = Prepared(lambda dialect: _mirrors_of(among(target.subject_id, "subject_ids", dialect)))


def with_ids(*searches: sa.Select[Any]) -> sa.ColumnElement[bool]:
    """Narrow a search down to the ids that any of these finds by its index, of whatever kind, however many records there are."""
    return target.subject_id.in_(sa.union(*(sa.select(each.subquery()) for each in searches)))


def unfinished_ids(did: str | None = None) -> Sequence[sa.Select[Any]]:
    """Select the ids of subjects, of all accounts or one, whose records may not be as the log says, from an index each."""
    of_targets, of_jobs = ((target.did == did,), (upload.did == did,)) if did is not None else ((), ())
    return (
        sa.select(target.subject_id).where(CONCERNS_RELAY, ~IS_ACKED, *of_targets),
        sa.select(target.subject_id).where(IS_TROUBLED, *of_targets),
        sa.select(upload.subject_id).where(IS_OPEN_JOB, *of_jobs),
    )


MAY_BE_UNFINISHED: Final = with_ids(*(each.limit(MAX_COUNTED) for each in unfinished_ids()))
"""Narrows down to some of them where they are very many: what waits, what is in trouble and what is uploaded have a share each."""
IS_SAMPLED: Final = with_ids(*(each.limit(MAX_SAMPLED) for each in unfinished_ids()))
"""Narrows further, for what has to read the history of each."""
_LANE: Final = sa.select(lane.state).where(lane.did == sa.bindparam("did"))


def mirrors(connection: sa.Connection, did: str, kind: str, subject_ids: Iterable[int]) -> dict[int, Mirror]:
    """Return the mirror of the current record of each of these subjects of an account; it is held if a former record is."""
    of, wanted = {"did": did, "kind": kind}, list(subject_ids)
    match wanted:
        case [subject_id]:
            rows = OF_SUBJECT.start(connection, {**of, "subject_id": subject_id})
        case several:
            rows = _OF_SUBJECTS.start(connection, {**of, "subject_ids": several})
    found = mirrors_in(rows.all())
    return {each: found.get(each) or without_record(each) for each in wanted}


def without_record(subject_id: int) -> Mirror:
    """Return the mirror of a subject that wants no record, and had none: its PDS has what the log says."""
    return Mirror(
        subject_id=subject_id, state=MirrorState.DELIVERED, reason=None, generation=0, acked_generation=0,
        next_attempt_at=None, desired_op=DELETE, record_uri="", record_cid=None, last_error=None, attempts=0,
        blob_error=None,
    )  # fmt: skip


def mirrors_in(rows: Iterable[Any]) -> dict[int, Mirror]:
    """Return the mirrors that these rows make, former targets last."""
    found: dict[int, Mirror] = {}
    for row in rows:
        _, state, reason = RULES[row.rule]
        if isinstance(reason, sa.ColumnElement):
            reason = getattr(row, str(reason.key))
        mirror = Mirror(
            **{column.key: getattr(row, column.key) for column in _SHOWN},
            state=state,
            reason=reason,
            next_attempt_at=next_attempt_at(row, state, reason),
            desired_op=row.desired_op,
            record_uri=RecordKey(row.did, row.record_collection, row.rkey).uri,
            record_cid=row.record_cid,
        )
        current = found.setdefault(row.subject_id, mirror)
        if row.former:
            current = replace(current, left=(*current.left, mirror))
            if mirror.state == MirrorState.HELD:
                current = replace(current, state=MirrorState.HELD, reason=mirror.reason, next_attempt_at=None)
            found[row.subject_id] = current
    return found


def next_attempt_at(row: Any, state: str, reason: str | None) -> datetime | None:
    """Return the time of the next attempt or, while parked, of the next probe; None while it waits for a person."""
    at: datetime | None = None
    if state == MirrorState.PENDING and reason in DATED:
        is_of_newest = row.failed_gen >= row.generation
        at = max(row.not_before, row.waits_until) if is_of_newest else row.waits_until
    elif state == MirrorState.PARKED and reason in PROBED:
        at = row.lane_probe_at
    return at


def needs_sign_in(connection: sa.Connection, did: str) -> bool:
    """Whether nothing can be delivered before the account's owner signs in at its PDS."""
    state = connection.scalar(_LANE, for_account(did))
    return state is None or state == LaneState.AUTH_REQUIRED
