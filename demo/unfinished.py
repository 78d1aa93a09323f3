"""An artist who works on some tracks for the first hour: every three minutes a line more in the liner notes of one.

A line is added to what the notes say at that moment, so that nothing is lost of what a visitor has written there.
"""

import time
from contextlib import suppress
from typing import Final

import httpx
from rich.console import Console

from demo.catalogue import Catalogue
from demo.service import Client

PAUSE_SECONDS: Final = 180.0
LINES: Final = (
    "Mixed again, with less tape.",
    "The piano is in tune now.",
    "Mastered once more.",
    "This one stays as it is.",
)


def work_on(console: Console, artist: Client, catalogue: Catalogue) -> None:
    """Add all lines to all unfinished tracks, and show each: twenty changes, which take an hour."""
    for line in LINES:
        for track_id in catalogue.unfinished:
            time.sleep(PAUSE_SECONDS)
            with suppress(httpx.TransportError):  # a visitor may stop the service, too
                if add_line(artist, track_id, line):
                    console.print(f"   track {track_id}: {line}", highlight=False)


def add_line(artist: Client, track_id: int, line: str) -> bool:
    """Add a line to the track's liner notes; returns whether it was: a visitor may be faster, or delete the track."""
    found = artist.http.get(f"/tracks/{track_id}")
    if not found.is_success:
        return False
    notes = f"{found.json()['description'] or ''}\n{line}".strip()
    this_version = {"If-Match": found.headers["etag"]}
    return artist.http.patch(
        f"/tracks/{track_id}", json={"description": notes}, headers=this_version
    ).is_success
