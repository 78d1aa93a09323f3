"""Whether the media store is there: asked by whoever asks for readiness, and never for longer than a moment."""

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select

from storage.errors import StorageError
from storage.media import Media, MediaState, media

FRESH_SECONDS: Final = 5.0
PATIENCE_SECONDS: Final = 2.0
SAMPLE: Final = 5


@dataclass(frozen=True)
class Seen:
    """What a look found: `lost` is another store than the one that tracks name bytes of, `away` one that does not answer."""

    lost: str | None = None
    away: str | None = None


class MediaWatch:
    """Looks for a few of the oldest copies, again once the last look is some seconds old."""

    def __init__(self, media: Media, name: str) -> None:
        self._media: Final = media
        self._name: Final = name
        self._lock: Final = threading.Lock()
        self._look: Future[Seen] = Future()
        self._looked_at: float | None = None

    def lost(self) -> str | None:
        """Say why nothing may be stored: a disk that is not mounted would take it, and hide it once it is."""
        return self._seen().lost

    def away(self) -> str | None:
        """Say why bytes are neither given nor taken now; everything else goes on."""
        return self._seen().away

    def _seen(self) -> Seen:
        with self._lock:
            now = time.monotonic()
            is_old = self._looked_at is None or now - self._looked_at >= FRESH_SECONDS
            if is_old and (self._looked_at is None or self._look.done()):
                self._look, self._looked_at = Future(), now
                threading.Thread(
                    target=self._run, args=(self._look,), name="media-watch", daemon=True
                ).start()
            look = self._look
        try:
            return look.result(PATIENCE_SECONDS)
        except TimeoutError:
            return self._away("does not answer")

    def _run(self, look: Future[Seen]) -> None:
        try:
            look.set_result(self._sample())
        except Exception as error:  # noqa: BLE001 - whoever asked is told
            look.set_exception(error)

    def _sample(self) -> Seen:
        oldest = (
            select(media.c.key)
            .where(media.c.state == MediaState.LIVE)
            .order_by(media.c.touched_at)
            .limit(SAMPLE)
        )
        with self._media.database.read() as connection:
            keys = connection.scalars(oldest).all()
        try:
            is_there = not keys or any(self._media.store.size(key) is not None for key in keys)
        except StorageError as error:
            return self._away(str(error))
        if is_there:
            return Seen()
        return Seen(
            lost=f"the media store {self._name} has none of the {len(keys)} oldest copies: is it the right one, and mounted?"
        )

    def _away(self, why: str) -> Seen:
        return Seen(away=f"the media store {self._name} is away: {why}")
