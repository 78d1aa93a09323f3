"""The publisher makes the store's public copies agree with the desired state. Any number of processes may run one.

A copy is marked uncertain before it is touched, so a crash at any step, or a change of the desired state meanwhile, has
it checked again.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import wait
from datetime import timedelta
from functools import partial
from typing import Final

from sqlalchemy import Connection

from eventstore.coordination.threads import begun
from storage.errors import MediaGoneError, StorageError, StoreUnavailableError
from storage.media import Media
from storage.public.copies import (
    Action,
    Claim,
    Reservation,
    claim,
    due_names,
    extend_lease,
    hand_over,
    release,
    release_expired,
    reserve,
    settle,
)
from storage.public.projection import public_name
from storage.store import PublicCopies, store_seconds

logger = logging.getLogger("mastertape.storage")

POLL_SECONDS: Final = 5.0
MAX_BACKOFF_SECONDS: Final = 30.0
MAX_CONCURRENT_CHANGES: Final = 12
"""Of the store: those of commands, of both threads, and those that took too long and go on."""
LEASE: Final = timedelta(seconds=60)
RESERVE_TIMEOUT: Final = timedelta(seconds=10)
"""How long a command waits for another process that has the lease of the copy."""
_RECHECK_SECONDS: Final = 0.05
_BATCH_SIZE: Final = 20
_DONE: Final = {
    Action.PUBLISH: ("public_copy_published", "a live ungated track names it, or is about to"),
    Action.REMOVE: ("public_copy_removed", "no live ungated track names it"),
}


class Publisher:
    """`start` runs it in threads of the API or relay process; `run_once` does the due work now."""

    def __init__(
        self,
        media: Media,
        copies: PublicCopies,
        *,
        lease: timedelta = LEASE,
        timeout: timedelta = RESERVE_TIMEOUT,
    ) -> None:
        self._media = media
        self._database = media.database
        self._copies = copies
        self._lease = lease
        self._timeout = timeout.total_seconds()
        self._may_change = threading.BoundedSemaphore(MAX_CONCURRENT_CHANGES)
        self._stopping = threading.Event()
        # Removals have a thread of their own: they must not wait until a large copy has been made.
        self._woken = {False: threading.Event(), True: threading.Event()}
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        self._stopping.clear()
        self._threads = [
            threading.Thread(target=self._run, args=[unwanted_only], name="publisher", daemon=True)
            for unwanted_only in self._woken
        ]
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float) -> None:
        """Begin no more actions, and wait at most `seconds` for those in progress; an interrupted one is repeated later."""
        self._stopping.set()
        self.wake()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def wake(self) -> None:
        """Poll at once; may be called from any thread."""
        for woken in self._woken.values():
            woken.set()

    def run_once(self, *, unwanted_only: bool = False) -> int:
        """Do all due work; returns the number of copies."""
        release_expired(self._database)
        done = 0
        while names := due_names(self._database, limit=_BATCH_SIZE, unwanted_only=unwanted_only):
            progress = [
                self._do(claim(self._database, name, self._lease))
                for name in names
                if not self._stopping.is_set()
            ]
            done += sum(progress)
            if not any(progress):
                break  # other processes have the leases
        return done

    def reserve(self, cid: str, file_type: str, mime: str) -> Reservation:
        """Make the public copy before a command commits, and keep it until the reservation is released."""
        reservation = reserve(self._database, public_name(cid, file_type), cid, mime, self._lease)
        try:
            self._require_public(reservation)
        except BaseException:
            self.cancel(reservation)
            raise
        return reservation

    def hand_over(self, connection: Connection, reservation: Reservation) -> None:
        """End the reservation in the command's unit: from its commit on, the track wants the copy. Raises StoreUnavailableError."""
        hand_over(connection, reservation, self._database.now(connection))

    def cancel(self, reservation: Reservation) -> None:
        """End the reservation of a failed command; the copy is removed unless a track or command wants it."""
        with self._database.write() as connection:
            release(connection, reservation)
        self.wake()

    def _require_public(self, reservation: Reservation) -> None:
        deadline = time.monotonic() + self._timeout
        while True:
            claimed = claim(self._database, reservation.name, self._lease)
            if claimed.action is Action.NOTHING:
                if not claimed.is_public:
                    raise StoreUnavailableError("its reservation ended before the copy was made")
                return
            if claimed.action is not Action.WAIT:
                self._act(claimed)
            elif time.monotonic() >= deadline:
                raise StoreUnavailableError("another process is working on this public copy")
            else:
                time.sleep(_RECHECK_SECONDS)

    def _do(self, claimed: Claim) -> bool:
        if claimed.action is Action.WAIT:
            return False
        if claimed.action is not Action.NOTHING:
            try:
                self._act(claimed)
            except StorageError as error:
                facts = {"copy": claimed.name, "attempts": claimed.attempts + 1, "error": str(error)}
                logger.warning("public_copy_failed", extra=facts)
        return True

    def _act(self, claimed: Claim) -> None:
        try:
            if claimed.action is Action.PUBLISH:
                found = self._media.find(claimed.cid)
                if found is None:
                    raise MediaGoneError(claimed.cid)
                publish = partial(self._copies.publish, found.key, claimed.name, claimed.mime)
                self._run_in_time(claimed, publish, store_seconds(found.size))
            else:
                unpublish = partial(self._copies.unpublish, claimed.name)
                self._run_in_time(claimed, unpublish, store_seconds(0))
        except StorageError as error:
            settle(self._database, claimed, str(error))
            raise

    def _run_in_time(self, claimed: Claim, change: Callable[[], None], seconds: float) -> None:
        """Change the store, with the lease extended meanwhile; raises StoreUnavailableError after `seconds`.

        A change that goes on after that is settled when it ends: another publisher's may have come between.
        """
        deadline = time.monotonic() + seconds
        while not self._may_change.acquire(timeout=self._beat(deadline)):
            self._extend_lease(claimed, deadline, "earlier changes of public copies have not ended")
        changing = begun("publisher-change", partial(self._change, claimed, change))
        changing.add_done_callback(lambda _changing: self._may_change.release())
        while not wait([changing], self._beat(deadline)).done:
            self._extend_lease(claimed, deadline, f"it took longer than {seconds:.0f} seconds")
        changing.result()

    def _beat(self, deadline: float) -> float:
        return min(self._lease.total_seconds() / 3, max(0.0, deadline - time.monotonic()))

    def _change(self, claimed: Claim, change: Callable[[], None]) -> None:
        change()
        message, reason = _DONE[claimed.action]
        ours = settle(self._database, claimed)
        logger.info(message, extra={"copy": claimed.name, "reason": reason, "lease_lost": not ours})

    def _extend_lease(self, claimed: Claim, deadline: float, late: str) -> None:
        """Extend the lease: a change that takes longer would be claimed again, without end. After the deadline, raise instead."""
        if time.monotonic() >= deadline:
            raise StoreUnavailableError(late)
        try:
            extend_lease(self._database, claimed, self._lease)
        except Exception:
            logger.exception("public_copy_lease_not_extended", extra={"copy": claimed.name})

    def _run(self, unwanted_only: bool) -> None:
        woken, pause = self._woken[unwanted_only], POLL_SECONDS
        while not self._stopping.is_set():
            woken.clear()
            try:
                self.run_once(unwanted_only=unwanted_only)
                pause = POLL_SECONDS
            except Exception:
                logger.exception("publisher_failed")  # retried: an unreachable database comes back
                pause = min(MAX_BACKOFF_SECONDS, 2 * pause)
            woken.wait(pause)
