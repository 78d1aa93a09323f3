"""Requeues records: one to be sent at once, some to be verified again, many to be sent behind live work; and what was forgotten."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from aggregates.published import Subject
from eventstore.sql.cluster import texts_of
from eventstore.sql.database import Database
from outbox.mirror.due import is_open, target_due_at
from outbox.mirror.lanes import change_lane
from outbox.mirror.parking import PARKED, request_probe, schedule_overdue_probes
from outbox.mirror.states import MirrorReason, TargetState
from outbox.mirror.tables import (
    CONCERNS_RELAY,
    NEVER,
    PAST,
    blob_job,
    lane,
    mirror_lane,
    mirror_target,
    repo_scan,
    target,
)
from outbox.mirror.targets import are_about, change_rows, is_about, wake_lane


def retry(connection: sa.Connection, did: str, kind: str, subject_id: int, now: datetime) -> None:
    """Make the record and its lane due at once, even if it was rejected; a parked account is probed first."""
    wake_lane(connection, did, now)
    change_lane(connection, did, not_before=PAST)
    request_probe(connection, did, now, PARKED)
    may_be_sent = target.state.not_in((TargetState.HELD, TargetState.BLOB))
    this = sa.update(mirror_target).where(*is_about(mirror_target, did, kind, subject_id), may_be_sent)
    connection.execute(this.values(not_before=PAST, failed_gen=0, backfill=False))
    retry_uploads(connection, did, [Subject(kind, subject_id)])


def retry_uploads(connection: sa.Connection, did: str, subjects: Iterable[Subject]) -> None:
    """Make the uploads for these records due, where they have some."""
    change_rows(connection, blob_job, did, subjects, not_before=PAST, queue_at=PAST)


def queue_as_backfill(connection: sa.Connection, did: str, subjects: Iterable[Subject], now: datetime) -> int:
    """Put what is to be sent for these subjects behind live work. Call it after the events of bulk work.

    Returns how many records were marked. A newer event makes its record live again.
    """
    _wake_behind_live(connection, did, now)
    return change_rows(connection, mirror_target, did, subjects, is_open(), backfill=True)


def create_again(connection: sa.Connection, did: str, subjects: Iterable[Subject]) -> None:
    """Have the relay create these records, which their PDS does not show: a write over them would be refused first.

    Their last CIDs are kept, since a record that was taken down reads as absent, too.
    """
    change_rows(connection, mirror_target, did, subjects, ~target.former, observed_body=None)


def reverify(connection: sa.Connection, subjects: Iterable[Subject], now: datetime) -> None:
    """Have the relay verify these records, behind live work: the PDS may hold others, as a scan or the firehose reports.

    A record that is still to be sent is not verified, since its swap shows the difference, unless a lane run is in
    flight, which may have read or written before the report. Lanes are locked before targets, in one order, as
    everywhere.
    """
    in_flight = sa.exists().where(lane.did == target.did, lane.lease_until > now)
    sleeps = sa.and_(~is_open(), target.look_at > now)
    for some in are_about(subjects):
        these = sa.and_(some, sa.or_(in_flight, sleeps))
        for did in sorted(connection.scalars(sa.select(target.did).where(these).distinct())):
            _verify_behind_live(connection, did, these, now)


def reverify_account(connection: sa.Connection, did: str, now: datetime) -> None:
    """Have the relay verify all records of an account that its PDS has confirmed."""
    _verify_behind_live(connection, did, sa.and_(target.acked_gen > 0, target.look_at > now), now)


def _verify_behind_live(
    connection: sa.Connection, did: str, which: sa.ColumnElement[bool], now: datetime
) -> None:
    _wake_behind_live(connection, did, now)
    # what is to be sent keeps its class
    can_wait = sa.case((is_open(), target.backfill), else_=sa.true())
    # what the old collection's record kept from being restored is tried again: that record may be gone
    is_kept_out = target.reason == MirrorReason.MIGRATION_NEEDED
    failed_gen = sa.case((is_kept_out, 0), else_=target.failed_gen)
    these = sa.update(mirror_target).where(target.did == did, which)
    connection.execute(these.values(look_at=now, backfill=can_wait, failed_gen=failed_gen))


def _wake_behind_live(connection: sa.Connection, did: str, now: datetime) -> None:
    """Make the lane due for what can wait, and lock its row, so that a lane run that ends now cannot undo that."""
    due_at = sa.case((lane.backfill_at > now, now), else_=lane.backfill_at)
    connection.execute(sa.update(mirror_lane).where(lane.did == did).values(backfill_at=due_at))


def rescan(connection: sa.Connection, did_or_host: str) -> None:
    """Have the next scan compare all of this repo, or of all repos of this host, whatever their revisions are.

    A repo without a scan is due anyway, and one that was reset is not written again.
    """
    of_host = repo_scan.c.did.in_(sa.select(lane.did).where(lane.host == did_or_host))
    which = repo_scan.c.did == did_or_host if did_or_host.startswith("did:") else of_host
    scanned = sa.or_(repo_scan.c.rev.is_not(None), repo_scan.c.scanned_at > PAST)
    connection.execute(sa.update(repo_scan).where(which, scanned).values(rev=None, scanned_at=PAST))


def tend_lanes(database: Database) -> list[str]:
    """Schedule the probes of lanes that wait for a host that is down; returns their DIDs."""
    tended = list[str]()
    while scheduled := schedule_overdue_probes(database):
        tended += scheduled
    return tended


def wake_stuck_lanes(database: Database) -> list[str]:
    """Make lanes due that have an open target and no due time; returns their DIDs.

    Every ordinary change wakes its lane in its own transaction: a rebuild that repaired targets, or manual SQL, wakes none.
    It reads all open targets, and is therefore for once an hour, and for the end of a rebuild.
    """
    with database.read_committed() as connection:
        asleep = [*texts_of(connection, _ASLEEP, mirror_lane.name)]
    for did in asleep:
        with database.write() as connection:
            change_lane(connection, did, due_at=database.now(connection))
    return asleep


_ASLEEP: Final = (
    sa.select(lane.did)
    .distinct()
    .join(mirror_target, target.did == lane.did)
    .where(
        CONCERNS_RELAY,
        target_due_at() < NEVER,
        sa.case((target.backfill, lane.backfill_at), else_=lane.due_at) >= NEVER,
    )
)
