"""Compares pages with the JSON of the same, as the service answers both."""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from bench.processes import HttpServer
from bench.reads import HTML, TRACKS, cpu_of_gets
from bench.report import Row
from bench.rounds import Arm, Effort, compare
from bench.services import bare_record, new_title, start_process, start_servers, wait_until_delivered
from demo.media import tone
from demo.service import Client
from demo.story import COLLECTION
from devpds.server import DevPds

SENTENCE: Final = (
    "The CPU time of the service's process for the pages for everyone and for those of the studio, as a multiple of that for the"
    " same JSON: at most 3."
)
AT_MOST: Final = 3.0
PAGES: Final = (
    "the newest",
    "a track",
    "an artist",
    "a tag",
    "my tracks",
    "my track",
    "a history",
    "a version",
    "a comparison",
    "a record",
    "my PDS",
)
EDITS: Final = 35
"""More than a page of the history shows."""
TAG: Final = "late night"
FOREIGN_RECORDS: Final = 3
"""Adopted, so that a page has an adoption to show."""
TIMES: Final = 3


def run(folder: Path, effort: Effort, show_progress: Callable[[str], None]) -> list[Row]:
    """Measure on SQLite: what a page adds to its JSON is made without the database, but for the artist's own row."""
    show_progress("starting a PLC directory, a PDS and the service")
    with start_servers(folder) as servers, start_process(servers, "listened", None) as (service, client):
        show_progress("uploading tracks")
        for number in range(3 if effort.is_quick else TRACKS):
            track = client.upload(tone(100 + number, 0.05), title=new_title(), tags=json.dumps([TAG]))
        for _ in range(3 if effort.is_quick else EDITS):
            track = client.edit(track["id"], title=new_title())
        wait_until_delivered(client, track["id"])
        _adopt(servers.pds, track["artist_did"], client)
        server = HttpServer(service.url, service.pid, "")
        rows: list[Row] = []
        for what, (same, page, headers) in zip(PAGES, _pages(track, client), strict=True):
            read = partial(cpu_of_gets, server, times=TIMES)
            rows += compare(
                Arm(f"JSON of {what}", partial(read, same, headers=headers)),
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


def _adopt(pds: DevPds, did: str, client: Client) -> None:
    for number in range(FOREIGN_RECORDS):
        pds.put_record(did, COLLECTION, f"bench{number}", bare_record())
    client.http.post("/me/adopt", headers={"Prefer": "wait=30"}).raise_for_status()


def _pages(track: dict[str, Any], client: Client) -> Iterator[tuple[Sequence[str], str, dict[str, str]]]:
    """Yield for each of PAGES the JSON that it is made from, its address, and the headers of both."""
    artist, here = track["artist_handle"], f"/tracks/{track['id']}"
    signed_in = {"Authorization": f"Bearer {client.token}"}
    mine = f"/me/tracks?id={track['id']}"
    yield ("/tracks?limit=12",), "/", {}
    of_track = (here, f"/artists?did={track['artist_did']}", f"{here}/comments?limit=50")
    yield of_track, f"/@{artist}/{track['id']}", {}
    yield (f"/tracks?artist={artist}&limit=48",), f"/@{artist}", {}
    tagged = quote(TAG)
    yield (f"/tracks?tag={tagged}&limit=48",), f"/tags/{tagged}", {}
    yield ("/me/mirror", "/me/tracks?limit=50"), "/studio", signed_in
    track_reads = (mine, f"{here}/history?limit=8", "/me/mirror", f"{here}/mirror")
    yield track_reads, f"/studio{here}", signed_in
    yield (mine, f"{here}/history?limit=30"), f"/studio{here}/history", signed_in
    last, middle = track["version"], track["version"] // 2
    then = (
        f"{here}?version={middle}",
        f"{here}/diff?from={middle}",
        f"{here}/diff?from={middle - 1}&to={middle}",
    )
    yield (mine, *then), f"/studio{here}/versions/{middle}", signed_in
    between = f"?from={middle}&to={last}"
    yield (mine, f"{here}/diff{between}"), f"/studio{here}/compare{between}", signed_in
    yield (mine, f"{here}/mirror/compare", f"{here}/mirror"), f"/studio{here}/pds", signed_in
    about_me = ("/me", "/me/mirror", "/me/adopt", "/me/migrate-to-pds", "/auth/tokens")
    yield about_me, "/studio/pds", signed_in
