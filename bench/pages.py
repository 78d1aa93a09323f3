"""Compares pages with the JSON of the same, as the service answers both."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench.processes import HttpServer
from bench.reads import HTML, TRACKS, cpu_of_gets
from bench.report import Row
from bench.rounds import Arm, Effort, compare
from bench.services import new_title, start_process, start_servers
from demo.media import tone
from demo.service import Client

SENTENCE: Final = (
    "The CPU time of the service's process for the page of a track, for that of an artist with their newest tracks, and for those"
    " of the studio, as a multiple of that for the same JSON: at most 3."
)
AT_MOST: Final = 3.0
EDITS: Final = 35
"""More than a page of the history shows."""
TIMES: Final = 3


def run(folder: Path, effort: Effort, show_progress: Callable[[str], None]) -> list[Row]:
    """Measure on SQLite: what a page adds to its JSON is made without the database, but for the artist's own row."""
    show_progress("starting a PLC directory, a PDS and the service")
    with start_servers(folder) as servers, start_process(servers, "listened", None) as (service, client):
        show_progress("uploading tracks")
        for number in range(3 if effort.is_quick else TRACKS):
            track = client.upload(tone(100 + number, 0.05), title=new_title())
        for _ in range(3 if effort.is_quick else EDITS):
            client.edit(track["id"], title=new_title())
        server = HttpServer(service.url, service.pid, "")
        rows: list[Row] = []
        for what, json, page, headers in _pages(track, client):
            read = partial(cpu_of_gets, server, times=TIMES)
            rows += compare(
                Arm(f"JSON of {what}", partial(read, json, headers=headers)),
                [
                    Arm(
                        f"page of {what}",
                        partial(read, (page,), headers={**headers, "Accept": HTML}),
                        AT_MOST,
                    )
                ],
                effort,
                show_progress,
            )
        return rows


def _pages(track: dict[str, Any], client: Client) -> Iterator[tuple[str, Sequence[str], str, dict[str, str]]]:
    """Yield what each page shows, the JSON that it is made from, its address, and the headers of both."""
    artist, here = track["artist_handle"], f"/tracks/{track['id']}"
    signed_in = {"Authorization": f"Bearer {client.token}"}
    mine = f"/me/tracks?id={track['id']}"
    yield "a track", (here,), f"/@{artist}/{track['id']}", {}
    yield "an artist", (f"/tracks?artist={artist}&limit=48",), f"/@{artist}", {}
    yield "my tracks", ("/me/mirror", "/me/tracks?limit=50"), "/studio", signed_in
    track_reads = (mine, f"{here}/history?limit=8", "/me/mirror", f"{here}/mirror")
    yield "my track", track_reads, f"/studio{here}", signed_in
    yield "a history", (mine, f"{here}/history?limit=30"), f"/studio{here}/history", signed_in
    about_me = ("/me", "/me/mirror", "/me/adopt", "/me/migrate-to-pds", "/auth/tokens")
    yield "my PDS", about_me, "/studio/pds", signed_in
