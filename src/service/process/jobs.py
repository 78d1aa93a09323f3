"""What is done now and then, by one process of all: sweep media, let go of what nobody needs any more."""

import asyncio
import logging
import uuid
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar

from sqlalchemy import delete, or_

from application.account_deletion import continue_deletion
from eventstore.envelope import Envelope
from eventstore.idempotency.lock import running_request
from eventstore.idempotency.results import RESULT_TTL, idempotency
from identity.accounts.credentials import credential
from outbox.pds.client import Pds
from outbox.relay.retention import prune_attempts
from outbox.repo.reads import PacedReads
from projections import media_references
from replay.reconcile.scan import Scan, Scanned
from service.config.settings import Settings
from service.wiring.adapters import SessionsOfIdentity
from service.wiring.bootstrap import Application
from service.wiring.identity import client_of_people, sessions_of_this_loop
from service.wiring.log import staging_folder
from storage.public.review import review
from storage.store import public_copies
from storage.sweep import sweep
from storage.upload import discard_abandoned

logger: Final = logging.getLogger("mastertape.service")

T = TypeVar("T")

MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
UNUSED_LOGIN: Final = timedelta(days=5)
"""A PDS ends what a public OAuth client has not renewed for two weeks, a confidential one for three months."""
REFRESHES_AT_ONCE: Final = 16
LOGINS_AT_MOST: Final = 12 * HOUR
LEAVING_AT_MOST: Final = HOUR
SCAN_LOOK: Final = timedelta(minutes=5)
SCAN_AT_MOST: Final = timedelta(minutes=10)
"""Then it begins anew, where it was: each repo has a row that says when it was looked through."""
LOOK_SECONDS: Final = 0.2
ENDED_CREDENTIALS_RESULT_TTL: Final = timedelta(days=30)
"""For that long somebody who comes back hears that the session has expired, and not that it never was."""


@dataclass(frozen=True)
class Job:
    """Work that is due every so often, and the longest that it takes."""

    name: str
    every: timedelta
    at_most: timedelta
    run: Callable[[Application], None]


def sweep_media(application: Application) -> None:
    """Delete bytes that nothing has named for the grace period."""
    grace = timedelta(days=application.settings.sweep_grace_days)
    report = sweep(application.media, media_references, grace)
    logger.info("media_swept", extra=vars(report))


def review_public_copies(application: Application) -> None:
    """Look for public copies that are not as they should be, and have them put right."""
    copies = public_copies(application.media.store)
    if copies is None or application.publisher is None:
        return
    found = review(application.database, copies)
    logger.info("public_copies_reviewed", extra={"found": found})
    application.publisher.wake()


def forget_answers(application: Application) -> None:
    """Delete answers whose Idempotency-Key means nothing any more, and what requests left behind that a crash cut off."""
    with application.database.write() as connection:
        now = application.database.now(connection)
        connection.execute(delete(idempotency).where(idempotency.c.created_at <= now - RESULT_TTL))
        connection.execute(delete(running_request).where(running_request.c.lease_until <= now))


def forget_credentials(application: Application) -> None:
    """Delete tokens that ended long ago."""
    with application.database.write() as connection:
        then = application.database.now(connection) - ENDED_CREDENTIALS_RESULT_TTL
        ended = or_(credential.c.expires_at <= then, credential.c.revoked_at <= then)
        connection.execute(delete(credential).where(ended))


def prune_journal(application: Application) -> None:
    """Delete attempts that account for nothing and explain nothing any more."""
    pruned = prune_attempts(application.database)
    logger.info("journal_pruned", extra={"attempts": pruned})


def keep_logins_alive(application: Application) -> None:
    """Refresh the sessions at the PDSes that have not been for days; who failed, or was not come to, is tried the next day."""

    async def refresh() -> tuple[int, int]:
        async with sessions_of_this_loop(application.settings, application.log) as sessions:
            return await sessions.refresh_idle(UNUSED_LOGIN, max_concurrent=REFRESHES_AT_ONCE)

    done = asyncio.run(_while_wanted(application, refresh(), LOGINS_AT_MOST))
    if done is not None:
        refreshed, failed = done
        logger.info("logins_kept_alive", extra={"refreshed": refreshed, "failed": failed})


def scan_records(application: Application) -> None:
    """Look through the repos that are due for it; a process that is to end leaves the rest to the others."""
    asyncio.run(_while_wanted(application, _scan(application), SCAN_AT_MOST))


async def _scan(application: Application) -> None:
    settings, database = application.settings, application.database
    async with client_of_people(settings) as http:
        pds = Pds(SessionsOfIdentity(application.sessions), http)  # which is only to read
        scan = Scan(
            database,
            PacedReads(pds, application.hosts),
            every=timedelta(minutes=settings.scan_minutes),
            found=application.services.wake,
        )
        try:
            await scan.run()
        finally:
            _tell(application, scan.scanned)


def _tell(application: Application, scanned: Scanned) -> None:
    application.metrics.scanned(scanned)
    if scanned.repos:
        logger.info("records_scanned", extra={**scanned.repos, "drifts": dict(scanned.drifts)})


async def _while_wanted(
    application: Application, work: Coroutine[Any, Any, T], at_most: timedelta
) -> T | None:
    """Do it until it is done, or the process is to end, or others would begin it too; None when it was left to them."""
    task = asyncio.create_task(work)
    try:
        async with asyncio.timeout(at_most.total_seconds() * 0.9):
            while not task.done() and not application.ending.is_set():
                await asyncio.wait({task}, timeout=LOOK_SECONDS)
    except TimeoutError:
        logger.info("job_goes_on_later")
    if not task.done():
        task.cancel()
    await asyncio.wait({task})
    return None if task.cancelled() else task.result()


def finish_leaving(application: Application) -> None:
    """Take everybody who leaves as far as they can go now; who fails is tried again at the next look."""
    dids = application.services.accounts.pending_deletion()
    if dids:
        gone = asyncio.run(_while_wanted(application, _finish(application, dids), LEAVING_AT_MOST))
        logger.info("accounts_left", extra={"leaving": len(dids), "gone": gone})


async def _finish(application: Application, dids: Sequence[str]) -> int:
    gone = 0
    async with sessions_of_this_loop(application.settings, application.log) as sessions:
        for did in dids:
            envelope = Envelope(actor=did, via="job", request_id=uuid.uuid4().hex)
            try:
                gone += await continue_deletion(
                    application.log, did, envelope, sessions.disconnect, application.services.threads
                )
            except Exception:
                logger.exception("leaving_failed", extra={"did": did})
    return gone


def discard_uploads(application: Application) -> None:
    """Delete what uploads to this machine have left behind that a crash cut off."""
    with application.database.read() as connection:
        before = application.database.now(connection) - DAY
    discard_abandoned(staging_folder(application.settings), before)


def scanning(settings: Settings) -> Job:
    """Return the job that scans for changes made elsewhere; the rows of `repo_scan` say which repos are due."""
    every = min(SCAN_LOOK, timedelta(minutes=settings.scan_minutes))
    return Job("scan_records", every=every, at_most=SCAN_AT_MOST, run=scan_records)


JOBS: Final = (
    Job("sweep_media", every=DAY, at_most=6 * HOUR, run=sweep_media),
    Job("review_public_copies", every=HOUR, at_most=HOUR, run=review_public_copies),
    Job("keep_logins_alive", every=DAY, at_most=LOGINS_AT_MOST, run=keep_logins_alive),
    Job("prune_journal", every=DAY, at_most=6 * HOUR, run=prune_journal),
    Job("finish_leaving", every=MINUTE, at_most=LEAVING_AT_MOST, run=finish_leaving),
    Job("forget_answers", every=HOUR, at_most=HOUR, run=forget_answers),
    Job("forget_credentials", every=DAY, at_most=HOUR, run=forget_credentials),
)
"""Of the database: one process does them for all."""
