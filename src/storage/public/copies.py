"""The rows of public copies: a change of the desired state marks a copy, the publisher claims it, acts, and settles.

Each of these steps locks the copy's row, so no committed change is missed, and none is acted on before its commit.
"""

import random
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, case, delete, exists, insert, or_, select, update

from eventstore.append import upsert
from eventstore.database import Database
from storage.errors import StoreUnavailableError
from storage.public.tables import (
    OPEN,
    PAST,
    PublicCopyState,
    public_audio,
    public_copy,
    public_hold,
)

LEASES_OF_A_HOLD: Final = 5
"""A reservation lasts for so many leases from when it was made, or from the last extension of the lease of its copy."""
FIRST_RETRY_DELAY: Final = timedelta(seconds=0.5)
MAX_RETRY_DELAY: Final = timedelta(seconds=60)
MAX_DOUBLINGS: Final = 10

copy = public_copy.c
hold = public_hold.c


class Action(Enum):
    """What the holder of a claim has to do."""

    PUBLISH = auto()
    REMOVE = auto()
    NOTHING = auto()
    WAIT = auto()
    """Another process has the lease."""


STATE_AFTER: Final = {
    Action.PUBLISH: PublicCopyState.PUBLIC,
    Action.REMOVE: PublicCopyState.ABSENT,
}


@dataclass(frozen=True)
class Claim:
    """A copy, the action to take, and the lease to take it under."""

    action: Action
    name: str
    cid: str = ""
    mime: str = ""
    changes: int = 0
    attempts: int = 0
    epoch: int = 0
    is_public: bool = False


@dataclass(frozen=True)
class Reservation:
    """Keeps a copy public for a command that is about to make its track public; a row of `public_hold`."""

    token: str
    name: str
    cid: str
    mime: str


def mark_changed(connection: Connection, copies: Iterable[Mapping[str, Any]]) -> None:
    """Have the publisher check these copies, whose desired state has changed. Locks their rows, in order of name."""
    by_name = {each["name"]: {key: each[key] for key in ("name", "cid", "mime")} for each in copies}
    rows = [{**by_name[name], "changes": 1} for name in sorted(by_name)]
    insert_copy = upsert(connection, public_copy)
    again = {"mime": insert_copy.excluded.mime, "changes": copy.changes + 1, "not_before": PAST}
    for row in rows:
        connection.execute(insert_copy.on_conflict_do_update(index_elements=["name"], set_=again).values(row))


def reserve(database: Database, name: str, cid: str, mime: str, lease: timedelta) -> Reservation:
    """Make the copy wanted until the reservation is released, or until it expires because its process died."""
    made = Reservation(secrets.token_hex(8), name, cid, mime)
    with database.write() as connection:
        insert_copy = upsert(connection, public_copy).values(name=name, cid=cid, mime=mime)
        # Locks the row, so that a concurrent claim is decided before this reservation, or sees it.
        connection.execute(
            insert_copy.on_conflict_do_update(index_elements=["name"], set_={"not_before": PAST})
        )
        until = database.now(connection) + LEASES_OF_A_HOLD * lease
        connection.execute(insert(public_hold).values(token=made.token, name=name, until=until))
    return made


def release(connection: Connection, reservation: Reservation) -> None:
    """End the reservation; from now on the copy is wanted only if a track wants it."""
    mark_changed(connection, [vars(reservation)])
    connection.execute(delete(public_hold).where(hold.token == reservation.token))


def hand_over(connection: Connection, reservation: Reservation, now: datetime) -> None:
    """End the reservation in the unit of a track that wants the copy; raises StoreUnavailableError unless it is public until then."""
    mark_changed(connection, [vars(reservation)])  # locks the row
    of_copy = (copy.name == reservation.name, copy.state == PublicCopyState.PUBLIC)
    kept = (
        select(hold.token)
        .join(public_copy, and_(*of_copy))
        .where(hold.token == reservation.token, hold.until > now)
    )
    if connection.scalar(kept) is None:
        raise StoreUnavailableError("the public copy was not kept until the track was saved")
    connection.execute(delete(public_hold).where(hold.token == reservation.token))


def release_expired(database: Database) -> int:
    """End the reservations of processes that died; returns how many."""
    with database.read() as connection:
        expired = hold.until <= database.now(connection)
        joined = select(hold.token, copy.name, copy.cid, copy.mime)
        rows = connection.execute(joined.join(public_copy, copy.name == hold.name).where(expired)).all()
    for row in rows:
        with database.write() as connection:
            release(connection, Reservation(*row))
    return len(rows)


def due_names(database: Database, *, limit: int, unwanted_only: bool = False) -> list[str]:
    """Return copies that are due, removals first."""
    with database.read() as connection:
        now = database.now(connection)
        wanted = _is_wanted(copy.name, now)
        query = select(copy.name).where(OPEN, copy.not_before <= now, copy.lease_until <= now)
        if unwanted_only:
            query = query.where(~wanted)
        order = query.order_by(case((wanted, 1), else_=0), copy.not_before, copy.name)
        return list(connection.scalars(order.limit(limit)))


def claim(database: Database, name: str, lease: timedelta) -> Claim:
    """Decide the action for a copy, lease it, and mark it uncertain before anything is done to it."""
    with database.write() as connection:
        row = connection.execute(
            select(public_copy).where(copy.name == name).with_for_update(skip_locked=True)
        ).one_or_none()
        now = database.now(connection)
        if row is None or row.lease_until > now:
            return Claim(Action.WAIT, name)
        # A separate statement after the lock: it sees every change committed before.
        wanted = bool(connection.scalar(select(_is_wanted(name, now))))
        action = Action.PUBLISH if wanted else Action.REMOVE
        if row.state == STATE_AFTER[action]:
            _update(connection, name, seen=row.changes, attempts=0, last_error=None)
            return Claim(Action.NOTHING, name, is_public=wanted)
        epoch = row.lease_epoch + 1
        _update(
            connection,
            name,
            state=PublicCopyState.UNCERTAIN,
            lease_until=now + lease,
            lease_epoch=epoch,
        )
        return Claim(action, name, row.cid, row.mime, row.changes, row.attempts, epoch)


def extend_lease(database: Database, claimed: Claim, lease: timedelta) -> None:
    """Extend the lease of an action in progress, unless another process has claimed the copy, and the reservations that wait for it."""
    with database.write() as connection:
        now = database.now(connection)
        ours = update(public_copy).where(copy.name == claimed.name, copy.lease_epoch == claimed.epoch)
        if connection.execute(ours.values(lease_until=now + lease)).rowcount:
            held = update(public_hold).where(hold.name == claimed.name, hold.until > now)
            connection.execute(held.values(until=now + LEASES_OF_A_HOLD * lease))


def settle(database: Database, claimed: Claim, error: str | None = None) -> bool:
    """Record the result of an action; False if its lease had expired, so that the copy is checked again."""
    with database.write() as connection:
        row = connection.execute(
            select(copy.lease_epoch).where(copy.name == claimed.name).with_for_update()
        ).one()
        if row.lease_epoch != claimed.epoch:
            # The late action may have undone that of the current lease holder, which may not settle either.
            epoch = row.lease_epoch + 1
            _update(
                connection,
                claimed.name,
                state=PublicCopyState.UNCERTAIN,
                lease_until=PAST,
                lease_epoch=epoch,
            )
            return False
        if error is None:
            state = STATE_AFTER[claimed.action]
            done = {"state": state, "seen": claimed.changes, "attempts": 0, "last_error": None}
            _update(connection, claimed.name, lease_until=PAST, **done)
        else:
            not_before = database.now(connection) + retry_delay(claimed.attempts)
            failed = {"attempts": claimed.attempts + 1, "not_before": not_before, "last_error": error}
            _update(connection, claimed.name, lease_until=PAST, **failed)
    return True


def retry_delay(attempts: int) -> timedelta:
    """Return the delay before the next attempt: half of it fixed, half of it random."""
    whole = min(MAX_RETRY_DELAY, FIRST_RETRY_DELAY * 2.0 ** min(attempts, MAX_DOUBLINGS))
    return whole / 2 + whole / 2 * random.random()  # noqa: S311


def _is_wanted(name: ColumnElement[str] | str, now: datetime) -> ColumnElement[bool]:
    by_track = exists().where(public_audio.c.name == name, public_audio.c.wanted)
    by_command = exists().where(hold.name == name, hold.until > now)
    return or_(by_track, by_command)


def _update(connection: Connection, name: str, **columns: Any) -> None:
    connection.execute(update(public_copy).where(copy.name == name).values(columns))
