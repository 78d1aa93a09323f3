"""The publisher makes the store's public copies agree with the desired state: as jobs, and at once for a command that waits.

A copy is marked uncertain before it is touched, so a crash at any step, or a change of the desired state meanwhile, has
it checked again.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from eventstore.coordination.threads import Threads, begun
from eventstore.errors import LeaseLostError
from eventstore.jobs import queue
from eventstore.jobs.kinds import Failure, Job, Kind, Outcome
from eventstore.untrusted import clean
from storage.errors import MediaGoneError, StorageError, StoreUnavailableError
from storage.media import Media
from storage.public.copies import (
    Action,
    Begun,
    Reservation,
    begin,
    extend,
    extend_reservations,
    is_kept,
    is_over,
    release,
    release_expired,
    reserve,
    settle,
)
from storage.public.projection import public_name
from storage.stores.store import store_seconds

if TYPE_CHECKING:
    from storage.stores.s3 import S3Store

logger = logging.getLogger("mastertape.storage")

MAX_CONCURRENT_CHANGES: Final = 12
"""Of the store: those of commands, of jobs, and those that took too long and go on."""
MAX_CONCURRENT: Final = {Action.PUBLISH: 4, Action.REMOVE: 4}
MAX_PER_ACCOUNT: Final = 2
FIRST_PAUSE_SECONDS: Final = 0.5
MAX_PAUSE_SECONDS: Final = 60.0
MAX_PROBLEM_LENGTH: Final = 500
LEASE: Final = timedelta(seconds=60)
RESERVE_TIMEOUT: Final = timedelta(seconds=10)
"""How long a command waits for another process that has the lease of the copy."""
_RECHECK_SECONDS: Final = 0.05
_DONE: Final = {
    Action.PUBLISH: ("public_copy_published", "a live ungated track names it, or is about to"),
    Action.REMOVE: ("public_copy_removed", "no live ungated track names it"),
}


class Publisher:
    """`kinds` are run by a worker; `reserve` runs the job of a copy now."""

    def __init__(
        self,
        media: Media,
        copies: "S3Store",
        *,
        owner: str,
        lease: timedelta = LEASE,
        timeout: timedelta = RESERVE_TIMEOUT,
    ) -> None:
        self._media = media
        self._database = media.database
        self._copies = copies
        self._owner = owner
        self._lease = lease
        self._timeout = timeout.total_seconds()
        self._may_change = threading.BoundedSemaphore(MAX_CONCURRENT_CHANGES)
        self._threads = Threads("publisher", sum(MAX_CONCURRENT.values()))
        self.kinds: Final = {action: self._kind(action) for action in Action}

    def reserve(self, cid: str, file_type: str, mime: str) -> Reservation:
        """Make the public copy before a command commits, and keep it until the reservation is released."""
        reservation = reserve(self._database, public_name(cid, file_type), cid, mime, self._lease)
        try:
            self._require_public(reservation)
        except BaseException:
            self.release(reservation)
            raise
        return reservation

    def extend(self, reservations: Sequence[Reservation]) -> None:
        """Let these last, while the command that has them makes more copies."""
        with self._database.write() as connection:
            now = self._database.now(connection)
            extend_reservations(connection, reservations, now, self._lease)

    def require_kept(self, connection: sa.Connection, reservation: Reservation) -> None:
        """Let a unit make the track public: raises StoreUnavailableError unless its copy is, and stays so until the commit."""
        if not is_kept(connection, reservation, self._database.now(connection) + self._lease):
            raise StoreUnavailableError("the public copy was not kept until the track was saved")

    def release(self, reservation: Reservation) -> None:
        """End the reservation, once its command has committed or failed; the copy is removed unless a track or command wants it."""
        with self._database.write() as connection:
            release(connection, reservation, self._database.now(connection))

    def do(self, claimed: Job, cancelled: Future[None] | None = None) -> Outcome:
        """Take the action that the copy needs, and settle it; raises StorageError, soon once `cancelled`, and LeaseLostError."""
        what = begin(self._database, claimed)
        if isinstance(what, Outcome):
            return what
        run_in_time = partial(self._run_in_time, claimed, what, cancelled or Future())
        try:
            if what.action is Action.PUBLISH:
                found = self._media.find(what.cid)
                if found is None:
                    raise MediaGoneError(what.cid)
                publish = partial(self._copies.publish, found.key, claimed.subject, what.mime)
                run_in_time(publish, store_seconds(found.size))
            else:
                unpublish = partial(self._copies.unpublish, claimed.subject)
                run_in_time(unpublish, store_seconds(0))
        except StorageError as error:
            facts = {"copy": claimed.subject, "attempts": claimed.attempts, "error": str(error)}
            logger.warning("public_copy_failed", extra=facts)
            raise
        return Outcome.DONE

    def _kind(self, action: Action) -> Kind:
        return Kind(
            action,
            self._work,
            judge=judge,
            max_concurrent=MAX_CONCURRENT[action],
            max_per_account=MAX_PER_ACCOUNT,
            first_pause_seconds=FIRST_PAUSE_SECONDS,
            max_pause_seconds=MAX_PAUSE_SECONDS,
            ends_when_cancelled=False,
            find_everywhere=release_expired if action is Action.REMOVE else None,
        )

    async def _work(self, claimed: Job) -> Outcome:
        cancelled: Future[None] = Future()
        try:
            return await self._threads.run(self.do, claimed, cancelled)
        except asyncio.CancelledError:
            cancelled.set_result(None)  # the worker stops: its thread waits for no change
            raise

    def _require_public(self, reservation: Reservation) -> None:
        deadline = time.monotonic() + self._timeout
        kind = self.kinds[Action.PUBLISH]
        while True:
            claimed = queue.claim(
                self._database, kind, owner=self._owner, lease=self._lease, subject=reservation.name
            )
            outcome = self._do_now(kind, claimed) if claimed is not None else None
            with self._database.read() as connection:
                now = self._database.now(connection)
                if is_kept(connection, reservation, now + self._lease):
                    return
                if is_over(connection, reservation, now):
                    raise StoreUnavailableError("its reservation ended before the copy was made")
            if outcome is not Outcome.DONE and time.monotonic() >= deadline:
                raise StoreUnavailableError("another process is working on this public copy")
            time.sleep(_RECHECK_SECONDS)

    def _do_now(self, kind: Kind, claimed: Job) -> Outcome | None:
        try:
            outcome = self.do(claimed)
        except LeaseLostError:
            return None
        except Exception as error:
            queue.fail(self._database, kind, claimed, Failure(clean(error, MAX_PROBLEM_LENGTH)))
            raise
        queue.settle(self._database, kind, claimed, outcome)
        return outcome

    def _run_in_time(
        self, claimed: Job, what: Begun, cancelled: Future[None], change: Callable[[], None], seconds: float
    ) -> None:
        """Change the store, with the lease extended meanwhile; raises StoreUnavailableError after `seconds`, or once `cancelled`.

        A change that goes on after that is settled when it ends: another publisher's may have come between.
        """
        deadline = time.monotonic() + seconds
        while not self._may_change.acquire(timeout=self._beat(deadline)):
            self._extend(claimed, deadline, "earlier changes of public copies have not ended")
        changing = begun("publisher-change", partial(self._change, claimed, what, change))
        changing.add_done_callback(lambda _changing: self._may_change.release())
        waited: Sequence[Future[None]] = (changing, cancelled)
        while not wait(waited, self._beat(deadline), FIRST_COMPLETED).done:
            self._extend(claimed, deadline, f"it took longer than {seconds:.0f} seconds")
        if not changing.done():
            raise StoreUnavailableError("the worker stops")
        changing.result()

    def _beat(self, deadline: float) -> float:
        return min(self._lease.total_seconds() / 3, max(0.0, deadline - time.monotonic()))

    def _change(self, claimed: Job, what: Begun, change: Callable[[], None]) -> None:
        change()
        message, reason = _DONE[what.action]
        ours = settle(self._database, claimed, what.action, self._lease)
        logger.info(message, extra={"copy": claimed.subject, "reason": reason, "lease_lost": not ours})

    def _extend(self, claimed: Job, deadline: float, late: str) -> None:
        """Extend the lease: a change that takes longer would be claimed again, without end. After the deadline, raise instead."""
        if time.monotonic() >= deadline:
            raise StoreUnavailableError(late)
        try:
            extend(self._database, claimed, self._lease)
        except Exception:
            logger.exception("public_copy_lease_not_extended", extra={"copy": claimed.subject})


def judge(error: Exception) -> Failure | None:
    """A store that is away comes back, and bytes that are gone may be uploaded again."""
    return Failure(clean(error, MAX_PROBLEM_LENGTH)) if isinstance(error, StorageError) else None
