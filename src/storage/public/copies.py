"""The rows of the public copies: mark, hold, claim, settle.

Who changes a wish locks the copy's row and counts the change there; who works on a copy decides under that lock.
So no wish that commits is missed, and none is decided on that has not.
"""

import random
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, case, delete, exists, insert, or_, select, update

from eventstore.append import upsert
from eventstore.database import Database
from storage.public.tables import (
    ABSENT,
    OPEN,
    PAST,
    PUBLIC,
    UNCERTAIN,
    public_audio,
    public_copy,
    public_hold,
)

LEASE: Final = timedelta(seconds=120)
HOLD: Final = timedelta(seconds=300)
"""Longer than a lease, so that a command that makes a large copy still holds it afterwards."""
FIRST_PAUSE: Final = timedelta(seconds=0.5)
LONGEST_PAUSE: Final = timedelta(seconds=60)
MAX_DOUBLINGS: Final = 10

copy = public_copy.c


class Action(Enum):
    """What is to be done with a copy."""

    PUBLISH = PUBLIC
    TAKE_AWAY = ABSENT
    NOTHING = "nothing"
    WAIT = "wait"  # somebody else is at it


@dataclass(frozen=True)
class Claim:
    """A copy, what is to be done with it, and the lease to do it under."""

    action: Action
    name: str
    cid: str = ""
    mime: str = ""
    changes: int = 0
    attempts: int = 0
    epoch: int = 0


@dataclass(frozen=True)
class Hold:
    """A command's claim that a copy is about to be wanted."""

    token: str
    name: str
    cid: str
    mime: str


def mark(connection: Connection, wishes: Iterable[Mapping[str, Any]]) -> None:
    """Have the copies looked at again: a wish for them has changed. Locks their rows, in one order."""
    by_name = {wish["name"]: {key: wish[key] for key in ("name", "cid", "mime")} for wish in wishes}
    rows = [{**by_name[name], "changes": 1} for name in sorted(by_name)]
    insert_copy = upsert(connection, public_copy)
    again = {"mime": insert_copy.excluded.mime, "changes": copy.changes + 1, "not_before": PAST}
    for row in rows:
        connection.execute(insert_copy.on_conflict_do_update(index_elements=["name"], set_=again).values(row))


def hold(database: Database, name: str, cid: str, mime: str) -> Hold:
    """Want the copy until the hold is released, or for a while if its holder dies."""
    made = Hold(secrets.token_hex(8), name, cid, mime)
    with database.write() as connection:
        insert_copy = upsert(connection, public_copy).values(name=name, cid=cid, mime=mime)
        # Locks the row: whoever decides on the copy does so before this hold, or sees it.
        connection.execute(
            insert_copy.on_conflict_do_update(index_elements=["name"], set_={"not_before": PAST})
        )
        until = database.now(connection) + HOLD
        connection.execute(insert(public_hold).values(token=made.token, name=name, until=until))
    return made


def release(connection: Connection, held: Hold) -> None:
    """End the hold; from here on the copy is wanted if a track wants it."""
    mark(connection, [vars(held)])
    connection.execute(delete(public_hold).where(public_hold.c.token == held.token))


def release_expired(database: Database) -> int:
    """End holds whose commands have died; give how many."""
    with database.read() as connection:
        expired = public_hold.c.until <= database.now(connection)
        joined = select(public_hold.c.token, copy.name, copy.cid, copy.mime)
        rows = connection.execute(
            joined.join(public_copy, copy.name == public_hold.c.name).where(expired)
        ).all()
    for row in rows:
        with database.write() as connection:
            release(connection, Hold(*row))
    return len(rows)


def open_names(database: Database, *, limit: int, unwanted_only: bool = False) -> list[str]:
    """Return copies that are due, removals first."""
    with database.read() as connection:
        now = database.now(connection)
        wanted = _is_wanted(copy.name, now)
        query = select(copy.name).where(OPEN, copy.not_before <= now, copy.lease_until <= now)
        if unwanted_only:
            query = query.where(~wanted)
        order = query.order_by(case((wanted, 1), else_=0), copy.not_before, copy.name)
        return list(connection.scalars(order.limit(limit)))


def claim(database: Database, name: str) -> Claim:
    """Decide what the copy needs, and note that it is uncertain before anything is done to it."""
    with database.write() as connection:
        row = connection.execute(
            select(public_copy).where(copy.name == name).with_for_update(skip_locked=True)
        ).one_or_none()
        now = database.now(connection)
        if row is None or row.lease_until > now:
            return Claim(Action.WAIT, name)
        # A statement of its own, after the lock: it sees every wish that was committed before.
        wanted = bool(connection.scalar(select(_is_wanted(name, now))))
        action = Action.PUBLISH if wanted else Action.TAKE_AWAY
        if row.state == action.value:
            _update(connection, name, seen=row.changes, attempts=0, last_error=None)
            return Claim(Action.NOTHING, name)
        epoch = row.lease_epoch + 1
        _update(connection, name, state=UNCERTAIN, lease_until=now + LEASE, lease_epoch=epoch)
        return Claim(action, name, row.cid, row.mime, row.changes, row.attempts, epoch)


def settle(database: Database, claimed: Claim, error: str | None = None) -> bool:
    """Note how it ended; False when the lease had ended before, and another look is needed."""
    with database.write() as connection:
        row = connection.execute(
            select(copy.lease_epoch).where(copy.name == claimed.name).with_for_update()
        ).one()
        if row.lease_epoch != claimed.epoch:
            # What was done late may undo what another does now, so that one may not settle either.
            epoch = row.lease_epoch + 1
            _update(connection, claimed.name, state=UNCERTAIN, lease_until=PAST, lease_epoch=epoch)
            return False
        if error is None:
            done = {"state": claimed.action.value, "seen": claimed.changes, "attempts": 0, "last_error": None}
            _update(connection, claimed.name, lease_until=PAST, **done)
        else:
            not_before = database.now(connection) + pause(claimed.attempts)
            failed = {"attempts": claimed.attempts + 1, "not_before": not_before, "last_error": error}
            _update(connection, claimed.name, lease_until=PAST, **failed)
    return True


def pause(attempts: int) -> timedelta:
    """Return the time before the next try: half of it fixed, half of it random."""
    whole = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempts, MAX_DOUBLINGS))
    return whole / 2 + whole / 2 * random.random()  # noqa: S311


def _is_wanted(name: ColumnElement[str] | str, now: datetime) -> ColumnElement[bool]:
    by_track = exists().where(public_audio.c.name == name, public_audio.c.wanted)
    by_command = exists().where(public_hold.c.name == name, public_hold.c.until > now)
    return or_(by_track, by_command)


def _update(connection: Connection, name: str, **columns: Any) -> None:
    connection.execute(update(public_copy).where(copy.name == name).values(columns))
