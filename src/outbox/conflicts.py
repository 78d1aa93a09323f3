"""A record that somebody else has changed: what they wrote, and how its owner's decision is put into effect."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from outbox.dag_cbor import Record, decode
from outbox.journal import note_adopted
from outbox.observations import CLEAN
from outbox.pds import RecordKey
from outbox.record import own_part
from outbox.tables import mirror_target
from outbox.targets import HELD, PUT

target = mirror_target.c


@dataclass(frozen=True)
class Conflict:
    """What somebody else wrote over what we wrote: None where no record of ours could hold it, or we wrote nothing."""

    key: RecordKey
    track_id: int
    cid: str
    theirs: Record | None
    base: Record | None

    @property
    def fields(self) -> list[str]:
        """Name the fields of ours that they changed."""
        if self.theirs is None:
            return []
        theirs, base = own_part(self.theirs), own_part(self.base or {})
        return sorted(name for name in {*theirs, *base} if theirs.get(name) != base.get(name))


def conflict_of(connection: Connection, track_id: int) -> Conflict | None:
    """Find what a track's owner has to decide on."""
    row = connection.execute(
        select(mirror_target).where(
            target.track_id == track_id, target.state == HELD, target.desired_op == PUT, ~target.detached
        )
    ).one_or_none()
    if row is None:
        return None
    key = RecordKey(row.did, row.collection, row.rkey)
    return Conflict(key, track_id, row.conflict_cid, _record(row.conflict_body), _record(row.observed_body))


def build_on(connection: Connection, conflict: Conflict) -> None:
    """Let what they wrote be the base of what is written next, so that it is replaced and nothing newer."""
    _change(connection, conflict.track_id, **_their_record(), **CLEAN)


def acknowledge(connection: Connection, conflict: Conflict, now: datetime) -> None:
    """Let what they wrote count as delivered, since the track says the same; and look whether it is there still."""
    newest = select(target.desired_gen).where(target.track_id == conflict.track_id)
    gen = connection.execute(newest).scalar_one()
    values = {**_their_record(), **CLEAN, "acked_gen": gen, "acked_at": now, "look_at": now}
    _change(connection, conflict.track_id, **values)
    note_adopted(connection, conflict.key, gen, conflict.cid, now)


def let_go(connection: Connection, track_id: int) -> None:
    """Try again over what we wrote ourselves: whether they changed it still, the PDS will tell."""
    held = update(mirror_target).where(target.track_id == track_id, target.state == HELD)
    connection.execute(held.values(CLEAN))


def _their_record() -> dict[str, Any]:
    return {"observed_cid": target.conflict_cid, "observed_body": target.conflict_body}


def _change(connection: Connection, track_id: int, **values: Any) -> None:
    connection.execute(update(mirror_target).where(target.track_id == track_id).values(values))


def _record(body: bytes | None) -> Record | None:
    return decode(body) if body is not None else None
