"""What was seen at the PDS goes into log and target. It counts only while what was wished for then still stands."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import and_, bindparam, case, false, select

from aggregates.track import Track
from eventstore.unit_of_work import UnitOfWork
from outbox.mirror.states import MirrorReason, TargetState
from outbox.mirror.tables import NEVER, PAST, mirror_target
from outbox.mirror.targets import CHANGE_TARGET, of_target
from outbox.record.dag_cbor import Record, UnencodableError, encode
from outbox.relay.delivery_task import Work
from outbox.relay.result import Outcome, Result

target = mirror_target.c
CLEAN: Final[dict[str, Any]] = {
    "state": TargetState.IDLE,
    "reason": None,
    "attempts": 0,
    "failed_gen": 0,
    "not_before": PAST,
    "last_error": None,
    "conflict_cid": None,
    "conflict_body": None,
}
"""What a target that nothing is wrong with has in these columns."""
_IS_THIS_LOOK: Final = target.look_at == bindparam("looked_for")
_CHANGE_LOOKED: Final = CHANGE_TARGET.values(
    look_at=case((_IS_THIS_LOOK, bindparam("again_at", type_=target.look_at.type)), else_=target.look_at),
    backfill=case(
        (and_(_IS_THIS_LOOK, bindparam("is_over", type_=target.backfill.type)), false()),
        else_=target.backfill,
    ),
)


def set_target(unit: UnitOfWork, work: Work, **values: Any) -> None:
    """Set columns of the work's target."""
    statement = _CHANGE_LOOKED if "again_at" in values else CHANGE_TARGET
    unit.connection.execute(statement, {**of_target(work.key), **values})


def looked(work: Work, again_at: datetime | None = None, *, is_over: bool = True) -> dict[str, Any]:
    """Look again then, or never; but a doubt that came up since we looked stays. What can wait can until it `is_over`."""
    return {"looked_for": work.look_at, "again_at": again_at or NEVER, "is_over": is_over}


def note_missing(unit: UnitOfWork, work: Work) -> None:
    """Note a delete made elsewhere."""
    if not _still_stands(unit, work):
        return
    track = unit.load(Track, Track.create_id(work.track_id))
    track.record_missing(observed_at=unit.now)
    unit.save(track)
    set_target(unit, work, **{**CLEAN, "observed_cid": None, "observed_body": None, **looked(work)})


def hold(unit: UnitOfWork, result: Result) -> None:
    """Note an edit made elsewhere, and keep it beside ours until the owner decides."""
    work, remote = result.work, result.remote
    if remote is None or remote.cid is None or not _still_stands(unit, work):
        return
    track = unit.load(Track, Track.create_id(work.track_id))
    track.record_foreign_edit(remote.cid, observed_at=unit.now)
    unit.save(track)
    set_target(
        unit,
        work,
        state=TargetState.HELD,
        reason=MirrorReason.FOREIGN_EDIT,
        failed_gen=work.gen,
        not_before=PAST,
        **looked(work),
        conflict_cid=remote.cid,
        conflict_body=kept(remote.body),
    )


def note_look(unit: UnitOfWork, result: Result) -> None:
    """Note that a look found nothing to send, and the base that it found for a later write, if it is another."""
    work, remote = result.work, result.remote
    values: dict[str, Any] = looked(work, result.look_at)
    if work.is_acked:  # that earlier looks failed no longer counts
        values |= {"attempts": 0, "failed_gen": 0, "last_error": None}
    if result.outcome is Outcome.REBASED and remote is not None and _still_stands(unit, work):
        values |= {"observed_cid": remote.cid, "observed_body": kept(remote.body)}
    set_target(unit, work, **values)


def _still_stands(unit: UnitOfWork, work: Work) -> bool:
    """Whether nothing was wished for since the work was read: else what was observed is of no account."""
    key = work.key
    this = (target.did == key.did, target.collection == key.collection, target.rkey == key.rkey)
    return unit.connection.scalar(select(target.desired_gen).where(*this)) == work.gen


def kept(foreign: Record | None) -> bytes | None:
    """Keep a foreign value, unless no record of ours could hold it: then it stays at the PDS alone."""
    try:
        return encode(foreign) if foreign is not None else None
    except UnencodableError:
        return None
