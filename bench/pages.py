"""Compares pages with the JSON of the same, as the service answers both."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from bench.processes import HttpServer
from bench.reads import TRACKS, cpu_of_gets
from bench.report import Row
from bench.rounds import Arm, Effort, compare
from bench.services import new_title, start_process, start_servers
from demo.media import tone

SENTENCE: Final = (
    "The CPU time of the service's process for the page of a track and for that of an artist with their newest tracks,"
    " as a multiple of that for the same JSON: at most 3."
)
AT_MOST: Final = 3.0


def run(folder: Path, effort: Effort, show_progress: Callable[[str], None]) -> list[Row]:
    """Measure on SQLite: what a page adds to its JSON is made without the database, but for the artist's own row."""
    show_progress("starting a PLC directory, a PDS and the service")
    with start_servers(folder) as servers, start_process(servers, "listened", None) as (service, client):
        show_progress("uploading tracks")
        for number in range(3 if effort.is_quick else TRACKS):
            track = client.upload(tone(100 + number, 0.05), title=new_title())
        server = HttpServer(service.url, service.pid, "")
        artist = track["artist_handle"]
        rows: list[Row] = []
        for what, json, page in (
            ("a track", f"/tracks/{track['id']}", f"/@{artist}/{track['id']}"),
            ("an artist", f"/tracks?artist={artist}&limit=48", f"/@{artist}"),
        ):
            rows += compare(
                Arm(f"JSON of {what}", partial(cpu_of_gets, server, json)),
                [Arm(f"page of {what}", partial(cpu_of_gets, server, page, accept="text/html"), AT_MOST)],
                effort,
                show_progress,
            )
        return rows
