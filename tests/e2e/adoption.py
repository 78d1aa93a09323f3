"""An artist's adoption of the records that another service wrote."""

import time
from typing import Any

from tests.e2e.artist import Artist

ADOPT_PATH = "/me/adopt"


TIMEOUT_SECONDS = 600


def adopts(artist: Artist) -> dict[str, Any]:
    """The artist has the records taken over, and waits for the end."""
    answer = artist.client.http.post(ADOPT_PATH, headers={"prefer": "wait=30"}, timeout=60)
    assert answer.status_code in {200, 202}, answer.text
    return ended(artist)


def ended(artist: Artist) -> dict[str, Any]:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while (report := artist.client.http.get(ADOPT_PATH).json())["state"] in {"waiting", "running"}:
        assert time.monotonic() < deadline, report
        time.sleep(0.1)
    return dict(report)


def tracks_of(artist: Artist) -> dict[str, dict[str, Any]]:
    return {track["atproto_record_uri"]: track for track in artist.pages("/tracks", artist=artist.did)}
