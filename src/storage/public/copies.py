"""The rows of public copies: a change of the desired state requests a job, the publisher begins it, acts, and settles.

The unit of a change requests the job in its account, and locks no copy. The publisher locks the copy and its job, and only then
reads what all accounts want: a change that it does not see yet has a job that is still to come.
"""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa

from aggregates.states import State
from eventstore.jobs import queue
from eventstore.jobs.kinds import Job, Outcome, Wanted
from eventstore.jobs.table import IS_LEASED, job
from eventstore.projection import ProjectedTable
from eventstore.sql.database import Database
from eventstore.sql.schema import Position, UtcDateTime, metadata
from eventstore.streams.append import upsert
from eventstore.streams.buckets import account_columns


class PublicCopyState(State):
    """What is known of a public copy in the store."""

    ABSENT = "absent", "the store has no such copy"
    UNCERTAIN = (
        "uncertain",
        "an action on it has begun, or what the store has differs; the publisher has to act",
    )
    PUBLIC = "public", "the store has the copy"


public_audio = sa.Table(
    "public_audio",
    metadata,
    sa.Column("track_id", Position, primary_key=True, autoincrement=False),
    sa.Column("cid", sa.Text, primary_key=True),
    *account_columns(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("mime", sa.Text, nullable=False),
    sa.Column("wanted", sa.Boolean, nullable=False),
    sa.Index("ix_public_audio_name", "name"),
)
"""Derived from the log: each audio that a track has or had, and whether it should be public now."""

public_copy = sa.Table(
    "public_copy",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("cid", sa.Text, nullable=False),
    sa.Column("mime", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False, server_default=sa.text(f"'{PublicCopyState.ABSENT}'")),
)
"""The known state of the copy under each name."""

public_hold = sa.Table(
    "public_hold",
    metadata,
    sa.Column("token", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("until", UtcDateTime, nullable=False),
    sa.Index("ix_public_hold_name", "name"),
)
"""Reservations: commands in progress that make audio public, so that its copy is wanted before they commit."""

PUBLIC_AUDIO: Final = ProjectedTable(public_audio)


LEASES_OF_A_HOLD: Final = 5
"""A reservation lasts for so many leases from when it was made, or from its last extension: while its copy is made, and
after that while those are made that the command wants too. A unit that has seen it is committed within one."""
WAIT_FOR_ANOTHER: Final = timedelta(seconds=1)

copy = public_copy.c
hold = public_hold.c


class Action(StrEnum):
    """What is done to a copy: the kinds of its jobs. Removals have slots of their own: they wait for no large copy."""

    PUBLISH = "publish_copy"
    REMOVE = "remove_copy"


STATE_AFTER: Final = {
    Action.PUBLISH: PublicCopyState.PUBLIC,
    Action.REMOVE: PublicCopyState.ABSENT,
}


@dataclass(frozen=True)
class Begun:
    action: Action
    cid: str
    mime: str


@dataclass(frozen=True)
class Reservation:
    """Keeps a copy public until the command has committed that makes its track public; a row of `public_hold`."""

    token: str
    name: str
    cid: str
    mime: str


def mark_changed(connection: sa.Connection, copies: Iterable[Mapping[str, Any]], now: datetime) -> None:
    """Have the publisher check these copies, whose desired state has changed: for the account of each, if there is one."""
    by_name = {each["name"]: each for each in copies}
    wanted = [
        Wanted(Action.PUBLISH if row.get("wanted") else Action.REMOVE, name, row.get("did", name))
        for name, row in sorted(by_name.items())
    ]
    queue.request(connection, wanted, now, hurry=True)


def reserve(database: Database, name: str, cid: str, mime: str, lease: timedelta) -> Reservation:
    """Make the copy wanted until the reservation is released, or until it expires because its process died."""
    made = Reservation(secrets.token_hex(8), name, cid, mime)
    with database.write() as connection:
        now = database.now(connection)
        # an action that has begun is known, and one that begins sees the reservation
        _lock(connection, vars(made))
        mark_changed(connection, [{**vars(made), "wanted": True}], now)
        until = now + LEASES_OF_A_HOLD * lease
        connection.execute(sa.insert(public_hold).values(token=made.token, name=name, until=until))
    return made


def release(connection: sa.Connection, reservation: Reservation, now: datetime) -> None:
    """End the reservation; from now on the copy is wanted only if a track wants it."""
    _lock(connection, vars(reservation))  # of two that end at once, the second requests the removal
    if _needed(connection, reservation.name, now, but=reservation.token) is Action.REMOVE:
        mark_changed(connection, [vars(reservation)], now)
    connection.execute(sa.delete(public_hold).where(hold.token == reservation.token))


def extend_reservations(
    connection: sa.Connection, reservations: Iterable[Reservation], now: datetime, lease: timedelta
) -> None:
    tokens = [each.token for each in reservations]
    _extend_holds(connection, hold.token.in_(tokens), now, lease)


def is_kept(connection: sa.Connection, reservation: Reservation, until: datetime) -> bool:
    """Whether the copy is public, and wanted by this reservation until then at least."""
    is_public = sa.and_(copy.name == hold.name, copy.state == PublicCopyState.PUBLIC)
    kept = sa.select(hold.token).join(public_copy, is_public)
    of_token = (hold.token == reservation.token, hold.until > until)
    return connection.scalar(kept.where(*of_token)) is not None


def is_over(connection: sa.Connection, reservation: Reservation, now: datetime) -> bool:
    lasting = sa.select(hold.token).where(hold.token == reservation.token, hold.until > now)
    return connection.scalar(lasting) is None


def release_expired(database: Database) -> int:
    """End the reservations of processes that died; returns how many."""
    with database.read_committed() as connection:
        joined = sa.select(hold.token, copy.name, copy.cid, copy.mime)
        expired = joined.join(public_copy, copy.name == hold.name).where(
            hold.until <= database.recent_now(connection)
        )
        rows = connection.execute(expired).all()
    for row in rows:
        with database.write() as connection:
            release(connection, Reservation(*row), database.now(connection))
    return len(rows)


def begin(database: Database, claimed: Job) -> Begun | Outcome:
    """Decide what to do, and mark the copy uncertain before anything is done to it; else say how the job ends.

    Raises LeaseLostError.
    """
    with database.write() as connection:
        _make_row(connection, claimed.subject)
        if (row := _locked(connection, claimed.subject)) is None:
            return Outcome.DONE  # no track has the audio any more
        queue.require_held(connection, claimed)
        now = database.now(connection)
        others = (job.c.kind.in_(list(Action)), job.c.subject == row.name, job.c.id != claimed.id)
        # what these have begun, and do too late, may undo what is done now
        is_late = (job.c.began_at.is_not(None), job.c.lease_until <= now)
        for late in connection.execute(sa.select(job.c.id, job.c.account).where(*others, *is_late)).all():
            this = sa.and_(*queue.is_job(late), *is_late)
            if (
                connection.scalar(sa.select(job.c.id).where(this).with_for_update(skip_locked=True))
                is not None
            ):
                connection.execute(sa.delete(job).where(this))
        # a statement after the locks: it sees every change committed before
        action = _needed(connection, row.name, now)
        if row.state == STATE_AFTER[action]:
            _end(connection, claimed)
            return Outcome.DONE
        if action != claimed.kind:
            queue.request(connection, [Wanted(action, row.name, claimed.account)], now, hurry=True)
            _end(connection, claimed)
            return Outcome.DONE
        leased = sa.select(job.c.id).where(*others, IS_LEASED, job.c.lease_until > now)
        if connection.scalar(leased) is not None:
            claimed.again_after = WAIT_FOR_ANOTHER
            return Outcome.LATER
        _set_state(connection, row.name, PublicCopyState.UNCERTAIN)
        return Begun(action, row.cid, row.mime)


def extend(database: Database, claimed: Job, lease: timedelta) -> None:
    """Extend the lease of an action in progress, and the reservations that wait for it."""
    with database.write() as connection:
        if queue.extend(database, claimed, lease):
            _extend_holds(connection, hold.name == claimed.subject, database.now(connection), lease)


def settle(database: Database, claimed: Job, action: Action, lease: timedelta) -> bool:
    """Record that an action was taken; False if its job was claimed since, or has ended, so that the copy is checked again.

    One that took too long, and whose job waits for the next attempt, counts.
    """
    with database.write() as connection:
        row = _locked(connection, claimed.subject)
        assert row is not None  # noqa: S101 - what has begun has a row
        now = database.now(connection)
        is_current = (*queue.is_job(claimed), job.c.lease_epoch == claimed.epoch)
        if connection.scalar(sa.select(job.c.id).where(*is_current).with_for_update()) is None:
            # The late action may have undone that of the current lease holder, which may not settle either.
            _set_state(connection, row.name, PublicCopyState.UNCERTAIN)
            connection.execute(sa.delete(job).where(job.c.kind.in_(list(Action)), job.c.subject == row.name))
            queue.request(
                connection, [Wanted(_needed(connection, row.name, now), row.name, claimed.account)], now
            )
            return False
        _set_state(connection, row.name, STATE_AFTER[action])
        _extend_holds(connection, hold.name == row.name, now, lease)
        _end(connection, claimed)
        if (needed := _needed(connection, row.name, now)) is not action:
            queue.request(connection, [Wanted(needed, row.name, claimed.account)], now, hurry=True)
    return True


def _make_row(connection: sa.Connection, name: str) -> None:
    """Make the copy's row of what a track says of it, if there is none yet."""
    audio = public_audio.c
    said = sa.select(audio.name, audio.cid, audio.mime).where(audio.name == name).limit(1)
    row = connection.execute(said.order_by(audio.wanted.desc())).mappings().one_or_none()
    if row is not None:
        connection.execute(upsert(connection, public_copy).values(row).on_conflict_do_nothing())


def _lock(connection: sa.Connection, row: Mapping[str, Any]) -> None:
    """Lock the copy's row, a new one or the one that is there."""
    values = {name: row[name] for name in ("name", "cid", "mime")}
    known = upsert(connection, public_copy).values(values)
    connection.execute(known.on_conflict_do_update(index_elements=["name"], set_={"mime": row["mime"]}))


def _locked(connection: sa.Connection, name: str) -> sa.Row[Any] | None:
    of_copy = sa.select(public_copy).where(copy.name == name)
    return connection.execute(of_copy.with_for_update()).one_or_none()


def _needed(connection: sa.Connection, name: str, now: datetime, *, but: str = "") -> Action:
    """Return what the tracks and reservations of all accounts need, `but` one reservation."""
    by_track = sa.exists().where(public_audio.c.name == name, public_audio.c.wanted)
    by_command = sa.exists().where(hold.name == name, hold.until > now, hold.token != but)
    return Action.PUBLISH if connection.scalar(sa.select(sa.or_(by_track, by_command))) else Action.REMOVE


def _extend_holds(
    connection: sa.Connection, which: sa.ColumnElement[bool], now: datetime, lease: timedelta
) -> None:
    held = sa.update(public_hold).where(which, hold.until > now)
    connection.execute(held.values(until=now + LEASES_OF_A_HOLD * lease))


def _end(connection: sa.Connection, claimed: Job) -> None:
    connection.execute(sa.delete(job).where(*queue.is_job(claimed)))


def _set_state(connection: sa.Connection, name: str, state: PublicCopyState) -> None:
    connection.execute(sa.update(public_copy).where(copy.name == name).values(state=state))
