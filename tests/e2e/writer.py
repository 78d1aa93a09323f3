"""An artist who edits without a pause, and goes on after every failure: what was acknowledged must be there afterwards."""

import threading
import time
import uuid
from typing import Any

import httpx

from tests.e2e.artist import Artist

PAUSE_AFTER_FAILURE_SECONDS = 0.05


class Writer:
    """Retitles a track again and again; repeats a request that was not acknowledged under its Idempotency-Key."""

    def __init__(self, artist: Artist, *, pause_seconds: float = 0) -> None:
        self.artist = artist
        self.acknowledged: list[str] = []
        self.acknowledged_at = 0.0
        """By the monotonic clock: the last edit."""
        self._pause_seconds = pause_seconds

    def edits_until(self, stop: threading.Event) -> None:
        """Edit until told to stop."""
        while not stop.is_set():
            title = f"take {len(self.acknowledged) + 1}"
            self._edits(title, uuid.uuid4().hex)
            self.acknowledged.append(title)
            self.acknowledged_at = time.monotonic()
            if self._pause_seconds:
                stop.wait(self._pause_seconds)

    def _edits(self, title: str, key: str) -> None:
        path, headers = f"/tracks/{self.artist.track_id}", {"idempotency-key": key}
        while True:
            try:
                reply = self.artist.client.http.patch(path, json={"title": title}, headers=headers)
            except httpx.TransportError:
                pass
            else:
                if reply.status_code == httpx.codes.OK:
                    return
                assert reply.status_code >= httpx.codes.CONFLICT, reply.text
            time.sleep(PAUSE_AFTER_FAILURE_SECONDS)

    @property
    def history(self) -> list[dict[str, Any]]:
        return self.artist.pages(f"/tracks/{self.artist.track_id}/history")

    @property
    def titles(self) -> list[str]:
        changes = (change for row in self.history for change in row["changes"])
        return [change["after"] for change in changes if change["field"] == "title"]

    @property
    def is_delivered(self) -> bool:
        record = self.artist.record
        return record is not None and record["title"] == self.acknowledged[-1]
