"""Runs requested adoptions in any number of processes, in turns: one of an account, and a few in each process."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Final

from eventstore.coordination.threads import Threads
from eventstore.database import Database
from eventstore.errors import EventStoreError
from eventstore.foreign_text import clean
from identity.errors import IdentityUnreachableError, UnknownIdentityError, UnsafeAddressError
from outbox.mirror.lanes import LeaseLostError
from outbox.pds.client import RemoteUnknownError
from outbox.pds.verdict import Kind
from replay.adoption import jobs as adoptions
from replay.adoption.adopt import Adoption, Report
from replay.adoption.jobs import AdoptionJob
from replay.adoption.progress import Progress
from replay.errors import PdsTroubleError, TooManyProblemsError
from replay.reconcile.verify import Repo
from replay.worker_loop import WorkerLoop, claimed_by, while_leased
from storage.errors import StorageError

MAX_CONCURRENT_ADOPTIONS: Final = 4
MAX_CONCURRENT_ADOPTIONS_OF_HOST: Final = 2
"""A slow PDS leaves room for the accounts of others."""

logger: Final = logging.getLogger("mastertape.replay")

HostOf = Callable[[str], Awaitable[str]]
"""Resolves an account's PDS; raises errors of identity."""


class AdoptionWorker:
    """`run` works beside the relay; `run_one` runs one account's adoption for the caller."""

    def __init__(
        self,
        database: Database,
        adoption: Adoption,
        host_of: HostOf,
        threads: Threads,
        *,
        owner: str,
        lease: timedelta,
    ) -> None:
        self._database = database
        self._adoption = adoption
        self._host_of = host_of
        self._threads = threads
        self._owner = owner
        self._lease = lease
        self._loop: Final = WorkerLoop[str](
            self._start_due,
            logger=logger,
            claim_failed="adoption_claim_failed",
            not_settled="adoption_not_settled",
        )
        """Of each adoption that runs, the PDS of its account."""

    def wake(self) -> None:
        """Poll for work at once; callable from any thread."""
        self._loop.wake()

    async def run(self) -> None:
        """Work until cancelled; adoptions that are running then are released, so that another process continues them."""
        await self._loop.run()

    async def run_one(self, did: str, report: Report) -> bool:
        """Run the account's adoption now, all of its turns; False when another process runs it."""
        claimed = await self._claim(did)
        if claimed is None:
            return False
        while claimed is not None and await self._run_claimed(claimed, report):
            claimed = await self._claim(did)
        return True

    async def preview(self, did: str) -> Progress:
        """Return what an adoption would find; raises errors of identity, RemoteUnknownError and PdsTroubleError."""
        return await self._adoption.preview(Repo(did, await self._host_of(did)))

    async def _start_due(self) -> None:
        while len(self._loop.running) < MAX_CONCURRENT_ADOPTIONS:
            claimed = await self._claim()
            if claimed is None:
                return
            self._loop.start(self._run_claimed(claimed, lambda _progress: None), claimed.host)

    async def _claim(self, did: str | None = None) -> AdoptionJob | None:
        claim = self._threads.run(
            adoptions.claim,
            self._database,
            owner=self._owner,
            lease=self._lease,
            did=did,
            except_hosts=self._busy_hosts(),
        )
        return await claimed_by(claim, self._release)

    async def _release(self, claimed: AdoptionJob) -> None:
        await self._threads.run(adoptions.release, self._database, claimed, claimed.progress)

    def _busy_hosts(self) -> set[str]:
        counts = Counter(host for host in self._loop.running.values() if host)
        return {host for host, count in counts.items() if count >= MAX_CONCURRENT_ADOPTIONS_OF_HOST}

    async def _run_claimed(self, claimed: AdoptionJob, report: Report) -> bool:
        """Run a turn of it, record how that ended, and return whether there is another; a lost lease is another worker's to record."""
        progress = claimed.progress
        work = self._adopt(claimed, progress, report)
        try:
            is_done = await while_leased(
                work, partial(self._record_progress, claimed, progress), logger, {"did": claimed.did}
            )
            end = adoptions.finish if is_done else adoptions.end_turn
            await self._threads.run(end, self._database, claimed, progress)
            logger.info("records_adopted", extra={"did": claimed.did, "done": is_done, **_counts(progress)})
        except asyncio.CancelledError:
            await self._release(claimed)
            raise
        except LeaseLostError:
            pass
        except Exception as error:  # noqa: BLE001 - the row shows it to the owner, whatever it was
            await self._fail(claimed, progress, error)
        else:
            return not is_done
        return False

    async def _adopt(self, claimed: AdoptionJob, progress: Progress, report: Report) -> bool:
        repo = Repo(claimed.did, await self._host_of(claimed.did))
        is_wanted = partial(adoptions.is_held, claimed=claimed)
        return await self._adoption.run(repo, claimed.envelope, progress, report=report, is_wanted=is_wanted)

    async def _record_progress(self, claimed: AdoptionJob, progress: Progress) -> bool:
        """Record the progress, which extends the lease; False when the lease is lost."""
        return await self._threads.run(
            adoptions.record_progress, self._database, claimed, progress, self._lease
        )

    async def _fail(self, claimed: AdoptionJob, progress: Progress, error: Exception) -> None:
        if isinstance(error, EXPECTED):
            problem = clean(error)
        else:
            logger.error("adoption_failed", exc_info=error, extra={"did": claimed.did})
            problem = f"internal error: {type(error).__name__}; see the log `adoption_failed`"
        await self._threads.run(
            adoptions.fail, self._database, claimed, progress, problem, final=_is_final(error)
        )


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


def _counts(progress: Progress) -> dict[str, int]:
    return {name: getattr(progress, name) for name in ("found", "known", "adopted", "refused")}


def _is_final(error: Exception) -> bool:
    """Whether another attempt cannot help: there is no such account, or its address is refused."""
    if isinstance(error, RemoteUnknownError):
        return error.verdict.kind in {Kind.REJECTED, Kind.MOVED}
    return isinstance(error, UnknownIdentityError | UnsafeAddressError)
