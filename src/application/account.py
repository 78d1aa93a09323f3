"""What an account asks for itself: an adoption, an export, its deletion.

A deletion removes first every record of ours on the PDS, then the login, then what is stored of the account here:
1. request: record it, delete what has a record, of every kind, let the relay remove the records
2. continue: a job of any process takes the next step that is possible now
3. erase: one unit, once nothing is left to remove
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import sqlalchemy as sa

from aggregates.lists.track_list import TrackList
from aggregates.published import Owned, Subject
from aggregates.releases.release import Release
from application.errors import AdoptedDifferError
from application.subjects import SUBJECTS_IN_A_UNIT, require_staying
from eventstore.change import Envelope, Via
from eventstore.coordination.restore_detection import unless_restored
from eventstore.coordination.threads import Threads
from eventstore.event_budget import event_bytes
from eventstore.event_log import EventLog
from eventstore.idempotency import idempotency, running_request
from eventstore.jobs import queue
from eventstore.jobs.kinds import Job, Kind, Outcome, Wanted
from eventstore.jobs.table import job
from eventstore.sql.database import Database
from eventstore.streams.ids import peer_track
from eventstore.unit_of_work import UnitOfWork, account_of
from identity.accounts import accounts
from identity.accounts.accounts import account
from identity.accounts.credentials import credential, record_ends, revoke_usable
from identity.sessions.session_store import is_connected, pds_session
from outbox.lists.items import list_follower
from outbox.mirror.failure_causes import forget_samples
from outbox.operations import account_deletion as removals
from projections.lists import live_lists
from projections.media_references import cids_of
from projections.reactions import REACTION, outsider_reaction, reaction, track_count
from projections.releases import live_releases
from projections.tracks.queries import image_urls_of
from replay import exports
from replay.adoption import adopt
from replay.repair.jobs import repair
from storage.derived.renditions import end_grace_of_renditions
from storage.media import end_grace_now, end_grace_period
from storage.public.copies import Action
from storage.uploads.staged_uploads import delete_uploads


def request_adoption(log: EventLog, did: str, envelope: Envelope) -> None:
    """Request a job, or join the one that runs; raises LeavingError."""

    def work(unit: UnitOfWork) -> None:
        require_staying(unit)
        adopt.request(unit.connection, did, envelope, unit.now)

    log.transact(did, envelope, work)


def request_export(log: EventLog, did: str, envelope: Envelope) -> None:
    """Request a job; raises ExportUnderWayError, and LeavingError: nothing is left to export then but the log."""

    def work(unit: UnitOfWork) -> None:
        require_staying(unit)
        if logs := exports.request(unit.connection, did, envelope, unit.now):
            unit.after_commit(partial(end_grace_now, log.database, logs))

    log.transact(did, envelope, work)


DELETION: Final = "account_deletion"
MAX_CONCURRENT_DELETIONS: Final = 8
MAX_CONCURRENT_DELETIONS_OF_A_HOST: Final = 2
"""Each waits for its PDS to end the login, up to half a minute: a host that hangs delays its own accounts alone."""
LOOK_AGAIN_AFTER: Final = timedelta(minutes=1)
MAX_PAUSE_SECONDS: Final = 3600.0
MAX_DISCONNECTS: Final = 3
"""A sign-in between the end of the login and the erasure makes one more necessary."""

Disconnect = Callable[[str, Envelope], Awaitable[bool]]
"""Ends the account's login; returns whether its PDS confirmed that."""


def request_deletion(
    log: EventLog, did: str, envelope: Envelope, *, credential_id: str, adopted: int | None = None
) -> None:
    """Record the request, end all sessions and tokens but this one, delete every subject, and make the removals due.

    A repeated request continues; it ends no session that has begun since the first. Records that other programs made go too
    if their number is named: raises AdoptedDifferError for another one.
    """
    log.transact(did, envelope, partial(_request, credential_id=credential_id, adopted=adopted))
    delete_subjects(log, did, envelope)


def delete_subjects(log: EventLog, did: str, envelope: Envelope) -> None:
    """Delete all that is live, a few in a unit; after a crash, `continue_deletion` deletes the rest."""

    def delete_some(unit: UnitOfWork) -> None:
        some = _live_subjects(unit.connection, did, at_most=SUBJECTS_IN_A_UNIT)
        deleted: list[Owned] = unit.load_all(Owned, [each.stream_id for each in some])
        for subject in deleted:
            subject.delete(at=unit.now)
        unit.save(*deleted)
        removals.exclude_unwritten(unit.connection, did, some)

    while True:
        # first a look: most calls only wait for the relay, and need no write
        with log.database.read() as connection:
            if not _live_subjects(connection, did, at_most=1):
                return
        log.transact(did, envelope, delete_some)


def _live_subjects(connection: sa.Connection, did: str, *, at_most: int) -> list[Subject]:
    """Return some of what is not deleted: with a record, and lists and releases, which have none."""
    found = removals.live_subjects(connection, did, at_most=at_most)
    found = found or TrackList.subjects(live_lists(connection, did, at_most=at_most))
    return found or Release.subjects(live_releases(connection, did, at_most=at_most))


async def continue_deletion(
    log: EventLog, did: str, envelope: Envelope, disconnect: Disconnect, threads: Threads
) -> bool:
    """Take every step that is possible now; return whether the account is erased."""

    def may_be_erased() -> bool:
        with log.database.read() as connection:
            since = deletion_requested_at(connection, did)
            if since is None:
                return False
            if not removals.remains(connection, did, since, log.database.now(connection)).is_over:
                return False
        _forget_elsewhere(log.database, did, since)
        return True

    await threads.run(delete_subjects, log, did, envelope)
    for _ in range(MAX_DISCONNECTS):
        if not await threads.run(may_be_erased):
            return False
        revoked = await disconnect(did, envelope)
        if await threads.run(log.transact, did, envelope, partial(_erase, revoked=revoked)):
            return True
    return False


def deletion_kind(
    log: EventLog, disconnect: Disconnect, threads: Threads, knows_all: Callable[[], bool] = lambda: True
) -> Kind:
    """`knows_all` says whether this release has all tables: an older one would leave what a newer one's hold of an account."""

    async def work(job: Job) -> Outcome:
        is_possible = await threads.run(knows_all)
        if is_possible and await continue_deletion(log, job.subject, job.envelope, disconnect, threads):
            return Outcome.DONE
        job.again_after = LOOK_AGAIN_AFTER
        return Outcome.LATER

    return Kind(
        DELETION,
        work,
        max_concurrent=MAX_CONCURRENT_DELETIONS,
        max_per_host=MAX_CONCURRENT_DELETIONS_OF_A_HOST,
        first_pause_seconds=LOOK_AGAIN_AFTER.total_seconds(),
        max_pause_seconds=MAX_PAUSE_SECONDS,
        condition=unless_restored,
    )


def deletion_requested_at(connection: sa.Connection, did: str) -> datetime | None:
    return connection.scalar(sa.select(account.c.leaving_since).where(account.c.did == did))


def _request(unit: UnitOfWork, *, credential_id: str, adopted: int | None) -> None:
    removals.retry_removals(unit.connection, unit.account, unit.now)
    if adopted is not None:
        if (found := removals.adopted_alone(unit.connection, unit.account)) != adopted:
            raise AdoptedDifferError(found)
        removals.confirm_adopted(unit.connection, unit.account)
    stream = account_of(unit)
    if stream.leaving_since is None:
        stream.request_leave(at=unit.now)
        ended = revoke_usable(unit.connection, did=unit.account, but=credential_id, now=unit.now)
        record_ends(stream, ended, at=unit.now)
    unit.save(stream)
    accounts.request_deletion(unit.connection, unit.account, unit.now)
    did = unit.account
    queue.cancel(unit.connection, adopt.ADOPTION, did)
    by_itself = Envelope(did, Via.JOB, unit.envelope.request_id)
    host = unit.connection.scalar(sa.select(account.c.pds_url).where(account.c.did == did)) or ""
    queue.request(unit.connection, [Wanted(DELETION, did, did, host, by_itself)], unit.now, hurry=True)


def _forget_elsewhere(database: Database, did: str, since: datetime) -> None:
    """End the grace times of the account's bytes, and delete its entries in tables of all accounts, before its own rows are erased.

    An account whose erasure fails then needs none of these: it has no live subject.
    """
    with database.write() as connection:
        cids = [*cids_of(connection, did), *exports.cids_of(connection, did)]
        sources = [*cids, *image_urls_of(connection, did)]
        end_grace_period(connection, cids, since)
        end_grace_period(connection, delete_uploads(connection, did), since)
        end_grace_of_renditions(connection, sources, since)
        connection.execute(sa.delete(peer_track).where(peer_track.c.did == did))
        forget_samples(connection, did)


def _erase(unit: UnitOfWork, *, revoked: bool) -> bool:
    """Erase the account in one unit, unless a record or a login has come up since the check."""
    did, connection = unit.account, unit.connection
    since = deletion_requested_at(connection, did)
    if since is None:
        return True
    left = removals.remains(connection, did, since, unit.now)
    live = _live_subjects(connection, did, at_most=1)
    if not left.is_over or live or is_connected(connection, did):
        return False
    removals.close_lane(connection, did)
    stream = account_of(unit)
    waiting = {f"{each.state}:{each.reason}": each.records for each in left.waiting}
    facts = {"records": waiting, "untouched": left.untouched, "login_revoked": revoked}
    stream.leave(facts, at=unit.now)
    unit.save(stream)
    own = sa.delete(job).where(job.c.account == did)
    # the jobs of its public copies stay, and those that carry to other accounts: what is there is removed after it
    connection.execute(own.where(job.c.kind.not_in([*Action, REACTION])))
    for table in (
        event_bytes,
        idempotency,
        running_request,
        reaction,
        track_count,
        outsider_reaction,
        list_follower,
        repair,
        exports.export_file,
        pds_session,
        credential,
        account,
    ):
        connection.execute(sa.delete(table).where(table.c.did == did))
    return True
