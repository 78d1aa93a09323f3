"""The periodic jobs, each run by one process at a time: sweeps, scans, refreshes of logins, deletion of expired rows.

Where the relay runs, they do; a job is due again an interval after its last run began, after an error once a pause is over.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from inspect import iscoroutinefunction
from typing import Any, Final

import sqlalchemy as sa

from application.releases.drafts import expire_drafts
from eventstore.coordination.restore_detection import unless_restored
from eventstore.coordination.threads import Threads
from eventstore.idempotency import RESULT_TTL, idempotency, running_request
from eventstore.jobs.kinds import PERIODIC, Failure, Job, Kind, Outcome, Wanted
from eventstore.jobs.queue import prune_turns, request
from eventstore.sql.database import Database
from eventstore.streams.buckets import Part, bucket_of
from eventstore.untrusted import clean
from identity.accounts.credentials import credential
from outbox.mirror.failure_causes import prune_causes
from outbox.mirror.hosts import PacedPds
from outbox.mirror.requeue import tend_lanes, wake_stuck_lanes
from outbox.relay.journal import prune_attempts
from outbox.repo.reads import RepoReads
from replay import derived
from replay.derived import request_all
from replay.reconcile.scan import Scan
from replay.repair.jobs import prune_repairs
from service.config.settings import Settings
from service.wiring.bootstrap import Container
from service.wiring.identity import pds_http_client
from service.wiring.log import staging_folder
from storage.public.copies import release_expired
from storage.public.review import review
from storage.stores.store import public_copies
from storage.uploads.upload import discard_abandoned

logger: Final = logging.getLogger("mastertape.service")

MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
IDLE_LOGIN_AGE: Final = timedelta(days=5)
"""A PDS ends a session that a public OAuth client has not refreshed for two weeks, a confidential client for three months."""
MAX_CONCURRENT_REFRESHES: Final = 16
FIRST_PAUSE_SECONDS: Final = 60.0
MAX_PAUSE_SECONDS: Final = 3600.0
MAX_PROBLEM_LENGTH: Final = 300
SCAN_POLL_INTERVAL: Final = timedelta(minutes=5)
SCAN_TIMEOUT_SECONDS: Final = 600.0
"""The next run continues where this one ended: each repo's row says when it was last scanned."""
ENDED_CREDENTIAL_TTL: Final = timedelta(days=30)
"""For this long, a request with an ended token is told that its session has expired, and not that it is unknown."""
REMOVED: Final[Sequence[str]] = ()
"""The names of periodic jobs of earlier releases that this one has no more: it deletes their rows, and those of no other."""


@dataclass(frozen=True)
class PeriodicJob:
    """A coroutine, or work in a thread of its own."""

    name: str
    interval: timedelta
    run: Callable[[Container], Any]


def request_periodic(database: Database, names: Iterable[str]) -> None:
    """Make those due that have never run; each takes turns of its own."""
    with database.write() as connection:
        wanted = [Wanted(PERIODIC, name) for name in names]
        request(connection, wanted, database.now(connection))


def periodic_kind(container: Container, jobs: Sequence[PeriodicJob]) -> Kind:
    """Return the kind of all of these.

    None runs in a restored database before `mastertape recovered`: they delete bytes that the log no longer knows of.
    One that this release does not know is left alone: a newer release has requested it, whose processes run it.
    """
    names = [*(each.name for each in jobs), *REMOVED]

    def may_run(row: sa.FromClause, part: Part) -> sa.ColumnElement[bool]:
        return sa.and_(row.c.subject.in_(names), unless_restored(row, part))

    by_name = {each.name: each for each in jobs}
    threads = Threads("periodic", len(jobs))

    def judge(error: Exception) -> Failure:
        logger.error("job_failed", exc_info=error)
        first = next(iter(str(error).splitlines()), "")
        return Failure(clean(": ".join(filter(None, (type(error).__name__, first))), MAX_PROBLEM_LENGTH))

    async def work(job: Job) -> Outcome:
        known = by_name.get(job.subject)
        if known is None:  # REMOVED names it
            return Outcome.DONE
        if iscoroutinefunction(known.run):
            await known.run(container)
        else:
            await threads.run(known.run, container)
        job.again_after = known.interval
        return Outcome.LATER

    return Kind(
        PERIODIC,
        work,
        judge=judge,
        max_concurrent=len(jobs),
        first_pause_seconds=FIRST_PAUSE_SECONDS,
        max_pause_seconds=MAX_PAUSE_SECONDS,
        condition=may_run,
        ends_when_cancelled=False,
        leaves_work=False,
    )


def sweep_media(container: Container) -> None:
    grace = timedelta(days=container.settings.sweep_grace_days)
    report = derived.sweep_media(container.media, grace)
    logger.info("media_swept", extra=vars(report))


def request_derived(container: Container) -> None:
    if requested := request_all(container.database):
        logger.info("derived_requested", extra={"requested": requested})
        container.worker.wake()


def tend_outbox(container: Container) -> None:
    """Have accounts probed that wait for a host that is down, and end reservations of processes that died."""
    if tended := tend_lanes(container.database):
        container.services.wake(*map(bucket_of, tended))
    if release_expired(container.database):
        container.worker.wake()


def wake_lanes(container: Container) -> None:
    if woken := wake_stuck_lanes(container.database):
        container.services.wake(*map(bucket_of, woken))


def review_public_copies(container: Container) -> None:
    """Find public copies that differ from the desired state, and wake the publisher to correct them."""
    copies = public_copies(container.media.store)
    if copies is None:
        return
    found = review(container.database, copies)
    logger.info("public_copies_reviewed", extra={"found": found})
    container.worker.wake()


def delete_expired_results(container: Container) -> None:
    """Delete results of expired Idempotency-Keys, and locks of requests that a crash cut off."""
    with container.database.write() as connection:
        now = container.database.now(connection)
        connection.execute(sa.delete(idempotency).where(idempotency.c.created_at <= now - RESULT_TTL))
        connection.execute(sa.delete(running_request).where(running_request.c.lease_until <= now))


def delete_ended_credentials(container: Container) -> None:
    with container.database.write() as connection:
        then = container.database.now(connection) - ENDED_CREDENTIAL_TTL
        ended = sa.or_(credential.c.expires_at <= then, credential.c.revoked_at <= then)
        connection.execute(sa.delete(credential).where(ended))


def prune_journal(container: Container) -> None:
    """Delete delivery attempts, causes of failures and ended repairs that no record or report still needs."""
    pruned, causes = prune_attempts(container.database), prune_causes(container.database)
    repairs = prune_repairs(container.database)
    with container.database.read() as connection:
        yesterday = container.database.now(connection) - DAY
    prune_turns(container.database, yesterday)
    logger.info("journal_pruned", extra={"attempts": pruned, "causes": causes, "repairs": repairs})


async def refresh_idle_logins(container: Container) -> None:
    """Refresh the PDS sessions that have been idle for IDLE_LOGIN_AGE; failed and unfinished ones are retried the next day."""
    refreshed, failed = await container.sessions.refresh_idle(
        IDLE_LOGIN_AGE, max_concurrent=MAX_CONCURRENT_REFRESHES
    )
    logger.info("logins_kept_alive", extra={"refreshed": refreshed, "failed": failed})


async def scan_records(container: Container) -> None:
    async with pds_http_client(container.settings) as http:
        scan = Scan(
            container.database,
            RepoReads(PacedPds(container.sessions, http, container.hosts, can_wait=True)),
            every=timedelta(minutes=container.settings.scan_minutes),
            on_drift=container.services.wake,
        )
        try:
            async with asyncio.timeout(SCAN_TIMEOUT_SECONDS):
                await scan.run()
        except TimeoutError:
            logger.info("scan_goes_on_later")
        finally:
            found = scan.scanned
            container.metrics.scanned(found)
            if found.repos:
                logger.info("records_scanned", extra={**found.repos, "drifts": dict(found.drifts)})


def end_old_drafts(container: Container) -> None:
    if ended := expire_drafts(container.log):
        logger.info("drafts_ended", extra={"drafts": ended})


def discard_abandoned_uploads(container: Container) -> None:
    with container.database.read() as connection:
        cutoff = container.database.now(connection) - DAY
    discard_abandoned(staging_folder(container.settings), cutoff)


JOBS: Final = (
    PeriodicJob("sweep_media", DAY, sweep_media),
    PeriodicJob("request_derived", 10 * MINUTE, request_derived),
    PeriodicJob("tend_lanes", MINUTE, tend_outbox),
    PeriodicJob("wake_lanes", HOUR, wake_lanes),
    PeriodicJob("end_drafts", HOUR, end_old_drafts),
    PeriodicJob("review_public_copies", HOUR, review_public_copies),
    PeriodicJob("keep_logins_alive", DAY, refresh_idle_logins),
    PeriodicJob("prune_journal", DAY, prune_journal),
    PeriodicJob("forget_answers", HOUR, delete_expired_results),
    PeriodicJob("forget_credentials", DAY, delete_ended_credentials),
)


def periodic_jobs(settings: Settings) -> Sequence[PeriodicJob]:
    """Return all of them; the rows of `repo_scan` say which repos are due."""
    interval = min(SCAN_POLL_INTERVAL, timedelta(minutes=settings.scan_minutes))
    return (*JOBS, PeriodicJob("scan_records", interval, scan_records))
