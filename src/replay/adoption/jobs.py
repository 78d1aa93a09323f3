"""The job that adopts the records of an account, at most one of each: requested, run in turns, and shown with its progress."""

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from eventstore.change import Envelope
from eventstore.errors import EventStoreError
from eventstore.jobs import queue
from eventstore.jobs.kinds import Failure, Job, Kind, Outcome, Wanted
from eventstore.untrusted import clean
from identity.errors import IdentityUnreachableError, UnknownIdentityError, UnsafeAddressError
from outbox.mirror.tables import mirror_lane
from outbox.pds.client import RemoteUnknownError
from outbox.pds.verdict import Kind as VerdictKind
from replay.adoption.adopt import Adoption, Report
from replay.adoption.progress import Progress
from replay.errors import PdsTroubleError, TooManyProblemsError
from replay.reconcile.verify import Repo
from storage.errors import StorageError

ADOPTION: Final = "adoption"
MAX_CONCURRENT_ADOPTIONS: Final = 4
MAX_CONCURRENT_ADOPTIONS_OF_HOST: Final = 2
"""A slow PDS leaves room for the accounts of others."""
FIRST_PAUSE_SECONDS: Final = 5.0
MAX_PAUSE_SECONDS: Final = 3600.0
MAX_ATTEMPTS: Final = 30
"""About a day: after it, the owner has to request the adoption again."""
EXPECTED: Final = (
    RemoteUnknownError,
    PdsTroubleError,
    TooManyProblemsError,
    UnknownIdentityError,
    IdentityUnreachableError,
    UnsafeAddressError,
    EventStoreError,
    StorageError,
)
"""Their messages say what to do."""

logger: Final = logging.getLogger("mastertape.replay")

HostOf = Callable[[str], Awaitable[str]]
"""Resolves an account's PDS; raises errors of identity."""


def request(connection: Connection, did: str, envelope: Envelope, now: datetime) -> None:
    """Request an adoption; an unfinished one stays as it is."""
    host = connection.scalar(select(mirror_lane.c.host).where(mirror_lane.c.did == did)) or ""
    queue.request(connection, [Wanted(ADOPTION, did, did, host, envelope)], now, again=True)


def adoption_of(connection: Connection, did: str) -> Row[Any] | None:
    """Return the account's newest adoption, a row of `job`."""
    return queue.job_of(connection, ADOPTION, did)


def progress_of(row: Any) -> Progress:
    """Return how far an adoption is."""
    return Progress(**(row["progress"] or {}))


class AdoptionJobs:
    """Runs adoptions, a turn of one account each."""

    def __init__(self, adoption: Adoption, host_of: HostOf) -> None:
        self._adoption: Final = adoption
        self._host_of: Final = host_of

    def kind(self) -> Kind:
        return Kind(
            ADOPTION,
            self.work,
            judge,
            max_concurrent=MAX_CONCURRENT_ADOPTIONS,
            max_per_host=MAX_CONCURRENT_ADOPTIONS_OF_HOST,
            first_pause_seconds=FIRST_PAUSE_SECONDS,
            max_pause_seconds=MAX_PAUSE_SECONDS,
            max_attempts=MAX_ATTEMPTS,
            keeps_done=True,
        )

    async def preview(self, did: str) -> Progress:
        """Return what an adoption would find; raises errors of identity, RemoteUnknownError and PdsTroubleError."""
        return await self._adoption.preview(Repo(did, await self._host_of(did)))

    async def work(self, job: Job, report: Report = lambda _progress: None) -> Outcome:
        """Run a turn; raises LeaseLostError where another worker has the job, or the account is being deleted."""
        # after a failure everything is tried again; what a turn refused, the next turn of the same attempt does not
        progress = Progress(**job.progress) if job.progress and job.problem is None else Progress()

        def store(progress: Progress) -> None:
            job.progress = {**vars(progress)}
            report(progress)

        repo, is_wanted = (
            Repo(job.subject, await self._host_of(job.subject)),
            partial(queue.is_held, claimed=job),
        )
        is_done = await self._adoption.run(repo, job.envelope, progress, report=store, is_wanted=is_wanted)
        store(progress)
        counts = {name: getattr(progress, name) for name in ("found", "known", "adopted", "refused")}
        logger.info("records_adopted", extra={"did": job.subject, "done": is_done, **counts})
        return Outcome.DONE if is_done else Outcome.AGAIN


def judge(error: Exception) -> Failure | None:
    """Another attempt cannot help where there is no such account, or its address is refused."""
    if not isinstance(error, EXPECTED):
        return None
    is_final = isinstance(error, UnknownIdentityError | UnsafeAddressError)
    if isinstance(error, RemoteUnknownError):
        is_final = error.verdict.kind in {VerdictKind.REJECTED, VerdictKind.MOVED}
    return Failure(clean(error), final=is_final)
