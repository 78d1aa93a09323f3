"""What is done now and then, by one process of all: sweep media, let go of what nobody needs any more."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import delete, or_

from api.idempotency import KEPT, idempotency
from identity.credentials import credential
from outbox.retention import prune_attempts
from projections import media_references
from service.bootstrap import Application, staging_folder
from service.people import sessions_of_this_loop
from storage.public_review import review
from storage.store import public_copies
from storage.sweep import sweep
from storage.upload import discard_abandoned

logger: Final = logging.getLogger(__name__)

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
UNUSED_LOGIN: Final = timedelta(days=5)
"""A PDS ends what a public OAuth client has not renewed for two weeks, a confidential one for three months."""
REFRESHES_AT_ONCE: Final = 16
ENDED_CREDENTIALS_KEPT: Final = timedelta(days=30)
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
    """Delete answers whose Idempotency-Key means nothing any more."""
    with application.database.write() as connection:
        then = application.database.now(connection) - KEPT
        connection.execute(delete(idempotency).where(idempotency.c.created_at <= then))


def forget_credentials(application: Application) -> None:
    """Delete tokens that ended long ago."""
    with application.database.write() as connection:
        then = application.database.now(connection) - ENDED_CREDENTIALS_KEPT
        ended = or_(credential.c.expires_at <= then, credential.c.revoked_at <= then)
        connection.execute(delete(credential).where(ended))


def prune_journal(application: Application) -> None:
    """Delete attempts that account for nothing and explain nothing any more."""
    pruned = prune_attempts(application.database)
    logger.info("journal_pruned", extra={"attempts": pruned})


def keep_logins_alive(application: Application) -> None:
    """Refresh the sessions at the PDSes that have not been for days; who failed is tried again the next day."""

    async def refresh() -> tuple[int, int]:
        async with sessions_of_this_loop(application.settings, application.log) as sessions:
            return await sessions.refresh_idle(UNUSED_LOGIN, at_once=REFRESHES_AT_ONCE)

    refreshed, failed = asyncio.run(refresh())
    logger.info("logins_kept_alive", extra={"refreshed": refreshed, "failed": failed})


def discard_uploads(application: Application) -> None:
    """Delete what uploads to this machine have left behind that a crash cut off."""
    with application.database.read() as connection:
        before = application.database.now(connection) - DAY
    discard_abandoned(staging_folder(application.settings), before)


JOBS: Final = (
    Job("sweep_media", every=DAY, at_most=6 * HOUR, run=sweep_media),
    Job("review_public_copies", every=HOUR, at_most=HOUR, run=review_public_copies),
    Job("keep_logins_alive", every=DAY, at_most=12 * HOUR, run=keep_logins_alive),
    Job("prune_journal", every=DAY, at_most=6 * HOUR, run=prune_journal),
    Job("forget_answers", every=HOUR, at_most=HOUR, run=forget_answers),
    Job("forget_credentials", every=DAY, at_most=HOUR, run=forget_credentials),
)
"""Of the database: one process does them for all."""
