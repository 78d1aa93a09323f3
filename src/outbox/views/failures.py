"""Selects the records that fail to reach their PDS, with the PDS's error, and those that a retry may help."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from eventstore.sql.schema import stored_event
from outbox.mirror.states import MirrorState, TargetState
from outbox.mirror.tables import (
    HAS_FAILED,
    IS_FAILING,
    IS_TROUBLED,
    PAST,
    SUBJECT,
    lane,
    mirror_target,
    target,
    upload,
)
from outbox.views.status import (
    BLOB_WANTED,
    FAILING_SINCE,
    IS_ACKED,
    IS_OF_NEWEST,
    MAY_BE_UNFINISHED,
    REASON,
    RECORD_COLUMNS,
    STATE,
    TARGETS_AT_WORK,
    unfinished_ids,
    with_ids,
)

Place = tuple[int, str, int]
"""Where a page ended: the id and the kind of a subject, and 1 after a former record of it."""

MAY_BE_FAILING: Final = with_ids(
    sa.select(target.subject_id).where(IS_TROUBLED), sa.select(upload.subject_id).where(HAS_FAILED)
)
_RECORD_CAN_BE_TRIED: Final = sa.and_(
    ~IS_ACKED, IS_OF_NEWEST, target.state.in_((TargetState.REJECTED, TargetState.BACKOFF))
)
_UPLOAD_CAN_BE_TRIED: Final = sa.and_(BLOB_WANTED, sa.func.coalesce(upload.attempts > 0, sa.false()))
_CAN_BE_TRIED: Final = sa.or_(_RECORD_CAN_BE_TRIED, _UPLOAD_CAN_BE_TRIED)
RETRIABLE: Final = sa.and_(MAY_BE_FAILING, _CAN_BE_TRIED)
"""Whether a retry may help; the others wait for a person, or have a time of their own."""
_IS_REDRIVEN: Final = sa.func.coalesce(upload.not_before == PAST, sa.false())
"""Whether an upload was not tried since a redrive: each failure names a later time."""
UPLOAD_WAITS_FOR_ATTEMPT: Final = sa.and_(MAY_BE_FAILING, _UPLOAD_CAN_BE_TRIED, _IS_REDRIVEN)
HAS_FAILED_AGAIN: Final = sa.and_(
    MAY_BE_FAILING, sa.or_(_RECORD_CAN_BE_TRIED, sa.and_(_UPLOAD_CAN_BE_TRIED, ~_IS_REDRIVEN))
)
FAILING: Final = sa.and_(
    MAY_BE_FAILING, sa.or_(_CAN_BE_TRIED, target.state == TargetState.HELD, target.detached)
)
CAUSE: Final[sa.ColumnElement[str]] = sa.case((_RECORD_CAN_BE_TRIED, target.cause), else_=upload.cause)
"""The cause of the last failure: of the record or, where it does not fail itself, of its upload."""
_ORDER: Final = (target.subject_id, target.kind, sa.case((target.former, 1), else_=0))
"""By subject, its former records after the current one."""
CHANGED_AT: Final = (
    sa.select(stored_event.c.recorded_at)
    .where(stored_event.c.position == target.desired_gen, stored_event.c.bucket == target.bucket)
    .correlate(mirror_target)
    .scalar_subquery()
)


def conditions(
    *,
    did: str | None = None,
    host: str | None = None,
    error: str | None = None,
    state: str | None = None,
    cause: str | None = None,
    record: str | None = None,
    reason: str | None = None,
    field: str | None = None,
) -> list[sa.ColumnElement[bool]]:
    """Whether a record is of these that are named; an `error` and a `cause` are of its, or its upload's, last failure.

    `record` is its URI; a `field` is one that the PDS named when it refused the record.
    """
    begins = f"{error}:"
    has_error = sa.or_(
        sa.and_(target.last_error.startswith(begins, autoescape=True), IS_OF_NEWEST),
        sa.and_(upload.last_error.startswith(begins, autoescape=True), BLOB_WANTED),
    )
    of, _, place = (record or "").removeprefix("at://").partition("/")
    collection, _, rkey = place.partition("/")
    names_field = target.last_error.contains(field or "", autoescape=True)
    named = (
        (target.did == did, did),
        (lane.host == host, host),
        (STATE.in_((state,)), state),
        (CAUSE.in_((cause,)), cause),
        (has_error, error),
        (sa.and_(target.did == of, target.collection == collection, target.rkey == rkey), record),
        (REASON.in_((reason,)), reason),
        (sa.and_(target.state == TargetState.REJECTED, IS_OF_NEWEST, names_field), field),
    )
    return [condition for condition, name in named if name is not None]


def failing(*, after: Place | None = None, limit: int, **which: str | None) -> sa.Select[Any]:
    """Select failing records, after one of them, with the `state` and `reason` of their mirrors."""
    return _records(FAILING, *_follows(after), *conditions(**which), limit=limit)


def undelivered(
    refused_audio: sa.Select[Any], *, after: Place | None = None, limit: int, **which: str | None
) -> sa.Select[Any]:
    """Select, as `failing` does, every record that its PDS does not have as the log says, and those whose bytes it refused.

    `refused_audio` selects the ids of those whose bytes were refused.
    """
    return _records(*_undelivered(refused_audio, **which), *_follows(after), limit=limit)


def accounts_hit(
    refused_audio: sa.Select[Any], *, after: str, limit: int, **which: str | None
) -> sa.Select[*tuple[Any, ...]]:
    """Select the accounts of the records that `undelivered` selects, by their DIDs, with how many records of each."""
    records = sa.func.count(SUBJECT.distinct()).label("records")
    found = sa.select(target.did, records).select_from(TARGETS_AT_WORK).group_by(target.did)
    these = found.where(*_undelivered(refused_audio, **which), target.did > after)
    return these.order_by(target.did).limit(limit)


def _undelivered(refused_audio: sa.Select[Any], **which: str | None) -> list[sa.ColumnElement[bool]]:
    did = which.get("did")
    of_account = () if did is None else (upload.did == did,)
    refused = refused_audio.where(*of_account)
    may_be = with_ids(*unfinished_ids(did), refused)
    is_undelivered = sa.or_(
        STATE != MirrorState.DELIVERED, sa.and_(~target.former, IS_FAILING, with_ids(refused))
    )
    return [may_be, is_undelivered, *conditions(**which)]


def waiting(did: str, *, limit: int) -> sa.Select[Any]:
    """Select the first of an account's records that are not as the log says, whether or not they fail; as `failing` does."""
    return _records(target.did == did, STATE != MirrorState.DELIVERED, limit=limit)


def _follows(after: Place | None) -> Sequence[sa.ColumnElement[bool]]:
    return () if after is None else (target.subject_id >= after[0], sa.tuple_(*_ORDER) > sa.tuple_(*after))


def _records(*conditions: sa.ColumnElement[bool], limit: int) -> sa.Select[Any]:
    return (
        sa.select(
            *RECORD_COLUMNS,
            *(target.kind, target.did, target.collection, target.rkey, lane.host),
            STATE.label("state"),
            REASON.label("reason"),
            CAUSE.label("cause"),
            CHANGED_AT.label("changed_at"),
            upload.failing_since.label("blob_failing_since"),
        )
        .select_from(TARGETS_AT_WORK)
        .where(*conditions)
        .order_by(*_ORDER)
        .limit(limit)
    )


_IS_PARKED: Final = STATE == MirrorState.PARKED
_SINCE: Final = sa.func.coalesce(
    sa.case((_IS_PARKED, lane.failing_since)), FAILING_SINCE, sa.case((~IS_ACKED, CHANGED_AT))
)
_BY_REASON: Final = (
    sa.select(
        STATE.label("mirror_state"),
        sa.case((_IS_PARKED, REASON)).label("mirror_reason"),
        sa.func.count().label("records"),
        sa.func.count(target.did.distinct()).label("accounts"),
        sa.func.min(_SINCE).label("since"),
        sa.func.count(FAILING_SINCE).label("failing"),
        sa.func.count(sa.case((FAILING_SINCE.is_not(None), target.did)).distinct()).label("failing_accounts"),
        sa.func.min(FAILING_SINCE).label("failing_since"),
    )
    .select_from(TARGETS_AT_WORK)
    .where(MAY_BE_UNFINISHED, STATE != MirrorState.DELIVERED)
    .group_by("mirror_state", "mirror_reason")
)


def unfinished_by_reason(connection: sa.Connection) -> Sequence[Any]:
    """Return for each state, and for parked records the reason too, how many `records` of how many `accounts` are in it.

    `since` is the earliest of them, null where no row says; `failing` counts those that failed and did not succeed since.
    """
    return connection.execute(_BY_REASON).all()


def unfinished_records(connection: sa.Connection) -> dict[str, int]:
    return by_state(unfinished_by_reason(connection), "records")


def by_state(unfinished: Sequence[Any], what: str) -> dict[str, int]:
    """Add up the rows of each state: an account's parked records have one reason."""
    counted: Counter[str] = Counter()
    for row in unfinished:
        counted[row.mirror_state] += getattr(row, what)
    return counted
