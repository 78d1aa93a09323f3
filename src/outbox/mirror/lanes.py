"""Lanes and their leases: one flight per DID, whatever number of relays there are.

A lane is due when the latest of three times has come: `due_at` is work, `not_before` is backoff, and before
`paced_until`, which the PDS has named, nobody's wish lets anything be sent. Work that can wait, such as a replay, has
times of its own: `backfill_at` and `backfill_after`. Times are the database's. Whoever changes a lane after a claim
proves its epoch.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    Select,
    Text,
    and_,
    bindparam,
    case,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from eventstore.append import insert_of
from eventstore.database import Database
from eventstore.envelope import Envelope
from eventstore.schema import UtcDateTime
from outbox.backoff import backoff
from outbox.mirror.states import LaneState, TargetState
from outbox.mirror.tables import (
    CONCERNS_RELAY,
    NEVER,
    PAST,
    PAST_LITERAL,
    blob_job,
    mirror_lane,
    mirror_target,
    pds_host,
)
from outbox.mirror.targets import DELETE

lane_columns: Final = mirror_lane.c
target_columns: Final = mirror_target.c
PROBE_CLEARED: Final[dict[str, Any]] = {"probe_at": NEVER, "probes": 0, "missing_since": NEVER}
"""Of an account that is known to be where its lane is."""

PAGE: Final = 100
"""So many lanes at a time are looked for that nobody would come to."""


class LeaseLostError(Exception):
    """Another relay holds the lane by now; what this one found out is dropped."""


@dataclass(frozen=True)
class Lane:
    """A claimed lane."""

    did: str
    host: str
    owner: str
    epoch: int
    lease_until: datetime
    backfill: bool = False
    """Whether it was claimed for work that can wait."""

    @property
    def envelope(self) -> Envelope:
        """Who appends what this flight finds out."""
        return Envelope(actor="relay", via="relay", request_id=f"{self.owner}:{self.epoch}")

    @property
    def log_fields(self) -> dict[str, object]:
        """What a log line says of this flight; its `request_id` is that of the events that it appends."""
        facts = {"did": self.did, "host": self.host, "epoch": self.epoch}
        return {**facts, "request_id": self.envelope.request_id}


class latest_of(FunctionElement[datetime]):  # noqa: N801 - reads as the function that it is
    """The latest of some times; SQLite and PostgreSQL name that function differently."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(latest_of)
def _greatest(element: latest_of, compiler: SQLCompiler, **options: Any) -> str:
    name = "max" if compiler.dialect.name == "sqlite" else "greatest"
    return f"{name}({compiler.process(element.clauses, **options)})"


def lane_due_at() -> ColumnElement[datetime]:
    """Return when a lane may be claimed for live work, as far as the lane itself is concerned."""
    return latest_of(lane_columns.due_at, lane_columns.not_before, lane_columns.paced_until)


def lane_backfill_at() -> ColumnElement[datetime]:
    """Return when a lane may be claimed for backfill; its row and its host's."""
    begins = latest_of(lane_columns.backfill_at, lane_columns.backfill_after, pds_host.c.backfill_after)
    return latest_of(begins, lane_columns.not_before, lane_columns.paced_until)


def host_open_at() -> ColumnElement[datetime]:
    """Return when anything may be sent to a host that is not paused."""
    return latest_of(pds_host.c.retry_at, pds_host.c.paced_until)


def lock_lane(connection: Connection, lane: Lane) -> None:
    """Hold the lane's row to the end of the transaction; raises LeaseLostError unless it is as it was claimed."""
    _require(connection.execute(_LOCK, {"did": lane.did}).one_or_none(), lane)


def hold_lane(database: Database, connection: Connection, lane: Lane) -> datetime:
    """Lock the lane as `lock_lane` does, and give the time at which that was done."""
    row: Any = connection.execute(database.with_now(_HOLD), {"did": lane.did}).one_or_none()
    _require(row, lane)
    return database.now(connection, read=row.now)


def _require(row: Any, lane: Lane) -> None:
    if row is None or (row.lease_epoch, row.host) != (lane.epoch, lane.host):
        raise LeaseLostError


def release(database: Database, lane: Lane) -> None:
    """Give the lane back, due when the earliest of its targets is, but after the lanes that wait already."""
    with database.write() as connection:
        now = hold_lane(database, connection, lane)
        earliest = connection.execute(_EARLIEST, {"did": lane.did}).one()
        due_at, backfill_at = (max(time or NEVER, now) for time in earliest)
        free = {"lease_owner": None, "lease_until": PAST}
        change_lane(connection, lane.did, due_at=due_at, backfill_at=backfill_at, **free)


def release_after_error(database: Database, lane: Lane) -> None:
    """Give the lane back after a turn that broke down, to be tried again a little later."""
    with database.write() as connection:
        now = hold_lane(database, connection, lane)
        back_off(connection, lane.did, now)
        change_lane(connection, lane.did, lease_owner=None, lease_until=PAST, due_at=now)


def back_off(connection: Connection, did: str, now: datetime, *, at_least: timedelta = timedelta()) -> None:
    """Let the whole lane wait, the longer the more often it had to."""
    failures = connection.scalar(select(lane_columns.failures).where(lane_columns.did == did)) or 0
    not_before = now + max(backoff(failures), at_least)
    change_lane(connection, did, failures=failures + 1, not_before=not_before)


_REJECTED, _HELD, DELETE_LITERAL = (
    literal_column(f"'{name}'", Text) for name in (TargetState.REJECTED, TargetState.HELD, DELETE)
)


def is_open() -> ColumnElement[bool]:
    """Whether a target has something that the relay can send."""
    return and_(
        target_columns.desired_gen > target_columns.acked_gen,
        or_(target_columns.state != _REJECTED, target_columns.failed_gen < target_columns.desired_gen),
        or_(
            and_(target_columns.former, _may_go()),
            # the owner's delete goes through, whoever changed the record
            and_(~target_columns.former, target_columns.desired_op == DELETE_LITERAL),
            and_(~target_columns.former, target_columns.state != _HELD, ~target_columns.detached),
        ),
    )


def _may_go() -> ColumnElement[bool]:
    """Whether what a record has left behind may be deleted: the new one is there, and nobody has changed the old one."""
    return and_(
        target_columns.cleared_gen >= target_columns.desired_gen,
        or_(target_columns.state != _HELD, target_columns.failed_gen < target_columns.desired_gen),
    )


def is_backfill() -> ColumnElement[bool]:
    """Whether what there is to do for a target, to send or to look, can wait for what people do just now."""
    return target_columns.backfill


def target_due_at() -> ColumnElement[datetime]:
    """Return when the relay may process a target.

    A newer generation does not wait for the failures of an older one; what is not to be sent is looked at in time.
    """
    failed = target_columns.failed_gen == target_columns.desired_gen
    return case((~is_open(), target_columns.look_at), (failed, target_columns.not_before), else_=PAST_LITERAL)


def change_lane(connection: Connection, did: str, **columns: Any) -> None:
    """Set columns of a lane."""
    connection.execute(_CHANGE, {"of_did": did, **columns})


# Built once (CONTRIBUTING.md).

_LOCK: Final = (
    select(lane_columns.lease_epoch, lane_columns.host)
    .where(lane_columns.did == bindparam("did"))
    .with_for_update()
)
_HOLD: Final[Select[Any]] = select(_LOCK.cte("held"))
"""The lock is waited for before the time is asked."""


def _earliest(which: ColumnElement[bool]) -> ColumnElement[datetime]:
    these = (target_columns.did == bindparam("did"), CONCERNS_RELAY, which)
    return select(target_due_at()).where(*these).order_by(target_due_at()).limit(1).scalar_subquery()


_EARLIEST: Final = select(_earliest(~is_backfill()), _earliest(is_backfill()))
_CHANGE: Final = update(mirror_lane).where(lane_columns.did == bindparam("of_did"))


def park_lane(connection: Connection, did: str) -> None:
    """Let the lane wait for its owner, unless the whole account is gone; edits go on to gather in the log."""
    here = (lane_columns.did == did, lane_columns.state != LaneState.GONE)
    connection.execute(update(mirror_lane).where(*here).values(state=LaneState.AUTH_REQUIRED, probe_at=NEVER))


_TOLD_UNTIL: Final = ("paced_until", "backfill_after")
_TOLD: Final = tuple(f"{name}_{part}" for name in ("hour", "day") for part in ("limit", "left", "reset"))
"""What a PDS has told of its limits, which another PDS knows nothing of."""
UNTOLD: Final[dict[str, Any]] = {**dict.fromkeys(_TOLD_UNTIL, PAST), **dict.fromkeys(_TOLD)}
"""As these columns are at a PDS that has told nothing yet."""


def resume_lane(connection: Connection, did: str, host: str, at: datetime) -> None:
    """Set the lane to work on this host, at once: in the transaction of a sign-in.

    What is under way there goes on, but nobody holds it any more: a login that it finds dead is the old one's.
    What is under way at another host is waited for no more, and what it brings is of no account.
    """
    given = {"of_did": did, "of_host": host, "at": at}
    has_moved = connection.scalar(_HOST_OF, given) not in {None, host}
    for statement in _resuming(connection.dialect.name):
        connection.execute(statement, given)
    if has_moved:
        abandon_uploads(connection, did)


def abandon_uploads(connection: Connection, did: str) -> None:
    """Take the account's uploads out of the hands of who has them under way, at a host that it has left."""
    connection.execute(_ABANDON, {"of_did": did})


_HOST_OF: Final = select(lane_columns.host).where(lane_columns.did == bindparam("of_did")).with_for_update()
_ABANDON: Final = (
    update(blob_job)
    .where(blob_job.c.did == bindparam("of_did"))
    .values(lease_owner=None, lease_until=PAST, lease_epoch=blob_job.c.lease_epoch + 1)
)


@cache
def _resuming(dialect: str) -> list[Executable]:
    """Return the statements that `resume_lane` executes."""
    did, host = bindparam("of_did", type_=Text), bindparam("of_host", type_=Text)
    known_host = insert_of(dialect, pds_host).values(host=host)
    insert = insert_of(dialect, mirror_lane).values(
        did=did,
        host=host,
        state=LaneState.READY,
        due_at=bindparam("at"),
        not_before=PAST,
        failures=0,
        **PROBE_CLEARED,
    )
    new, same_host = insert.excluded, lane_columns.host == host
    lane = insert.on_conflict_do_update(
        index_elements=["did"],
        set_={
            "host": new.host,
            "state": new.state,
            "due_at": new.due_at,
            "not_before": new.not_before,
            **{name: case((same_host, lane_columns[name]), else_=PAST) for name in _TOLD_UNTIL},
            **{name: case((same_host, lane_columns[name])) for name in _TOLD},
            "failures": new.failures,
            **PROBE_CLEARED,
            "lease_owner": None,
            "lease_until": case((same_host, lane_columns.lease_until), else_=PAST),
        },
    )
    return [
        known_host.on_conflict_do_nothing(),  # no lock: a sign-in that hangs stops no claim
        lane,
        update(mirror_target)
        .where(target_columns.did == did, CONCERNS_RELAY, target_columns.not_before > PAST)
        .values(not_before=PAST),
        update(blob_job).where(blob_job.c.did == did).values(not_before=PAST, lease_owner=None),
    ]
