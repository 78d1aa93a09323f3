"""Makes the store's public copies agree with what the log says is public. Any number of processes may run one.

A copy is uncertain before it is touched, so that a crash anywhere leads to another look; whoever changes a
wish while a copy is being made has it looked at again.
"""

import logging
import threading
import time
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection

from storage.errors import MediaGoneError, StorageError, StoreUnavailableError
from storage.media import Media
from storage.public.copies import (
    Action,
    Claim,
    Hold,
    claim,
    hold,
    open_names,
    release,
    release_expired,
    settle,
)
from storage.public.projection import public_name
from storage.store import PublicCopies

logger = logging.getLogger("mastertape.storage")

LOOK_SECONDS: Final = 5.0
LONGEST_PAUSE: Final = 30.0
PATIENCE: Final = timedelta(seconds=10)
"""How long a command waits for somebody else who is at the copy that it needs."""
_ASK_AGAIN_SECONDS: Final = 0.05
_NAMES_A_LOOK: Final = 20
_DONE: Final = {
    Action.PUBLISH: ("public_copy_published", "a live ungated track names it, or is about to"),
    Action.TAKE_AWAY: ("public_copy_removed", "no live ungated track names it"),
}


class Publisher:
    """`start` it beside the API or the relay; `run_once` does what is due now."""

    def __init__(self, media: Media, copies: PublicCopies, *, patience: timedelta = PATIENCE) -> None:
        self._media = media
        self._database = media.database
        self._copies = copies
        self._patience = patience.total_seconds()
        self._stopping = threading.Event()
        # Taking away has a thread of its own: it must not wait until a large copy has been made.
        self._woken = {False: threading.Event(), True: threading.Event()}
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to work, in threads."""
        self._stopping.clear()
        self._threads = [
            threading.Thread(target=self._run, args=[unwanted_only], name="publisher", daemon=True)
            for unwanted_only in self._woken
        ]
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float) -> None:
        """Begin nothing more, and give what is under way so many seconds; what is cut off is looked at again."""
        self._stopping.set()
        self.wake()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def wake(self) -> None:
        """Look for work at once; may be called from any thread."""
        for woken in self._woken.values():
            woken.set()

    def run_once(self, *, unwanted_only: bool = False) -> int:
        """Do everything that is due now, and return how much it was."""
        release_expired(self._database)
        done = 0
        while names := open_names(self._database, limit=_NAMES_A_LOOK, unwanted_only=unwanted_only):
            progress = [
                self._do(claim(self._database, name)) for name in names if not self._stopping.is_set()
            ]
            done += sum(progress)
            if not any(progress):
                break  # others are at them
        return done

    def hold(self, cid: str, file_type: str, mime: str) -> Hold:
        """Have the public copy there before a command names it, and keep it until the hold is released."""
        held = hold(self._database, public_name(cid, file_type), cid, mime)
        try:
            self._require_public(held)
        except BaseException:
            self.let_go(held)
            raise
        return held

    def release(self, connection: Connection, held: Hold) -> None:
        """In the command's unit: from its commit on, the track itself wants the copy."""
        release(connection, held)

    def let_go(self, held: Hold) -> None:
        """The command came to nothing: the copy goes, unless somebody else wants it."""
        with self._database.write() as connection:
            release(connection, held)
        self.wake()

    def _require_public(self, held: Hold) -> None:
        deadline = time.monotonic() + self._patience
        while True:
            claimed = claim(self._database, held.name)
            if claimed.action is Action.NOTHING:
                return
            if claimed.action is not Action.WAIT:
                self._act(claimed)
            elif time.monotonic() >= deadline:
                raise StoreUnavailableError("another process is at this public copy")
            else:
                time.sleep(_ASK_AGAIN_SECONDS)

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
                self._publish(claimed)
            else:
                self._copies.unpublish(claimed.name)
        except StorageError as error:
            settle(self._database, claimed, str(error))
            raise
        message, reason = _DONE[claimed.action]
        ours = settle(self._database, claimed)
        logger.info(message, extra={"copy": claimed.name, "reason": reason, "lease_lost": not ours})

    def _publish(self, claimed: Claim) -> None:
        found = self._media.find(claimed.cid)
        if found is None:
            raise MediaGoneError(claimed.cid)
        self._copies.publish(found.key, claimed.name, claimed.mime)

    def _run(self, unwanted_only: bool) -> None:
        woken, pause = self._woken[unwanted_only], LOOK_SECONDS
        while not self._stopping.is_set():
            woken.clear()
            try:
                self.run_once(unwanted_only=unwanted_only)
                pause = LOOK_SECONDS
            except Exception:
                logger.exception("publisher_failed")  # a database that is away comes back
                pause = min(LONGEST_PAUSE, 2 * pause)
            woken.wait(pause)
