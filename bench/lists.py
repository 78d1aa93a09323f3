"""Compares an edit of a track in many long lists, and another order of one, with the bare putRecords that write the same records."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

from bench.postgres import databases
from bench.report import Row, Spread
from bench.rounds import Arm, Effort, Seconds, compare
from bench.services import (
    DRAIN_TIMEOUT_SECONDS,
    bare_record,
    create_account,
    new_title,
    start_servers,
    start_service,
    time_operations,
)
from demo.media import tone
from demo.service import Client
from demo.story import COLLECTION
from devpds.server import DevPds

SENTENCE: Final = (
    "How long after the edit of a track all lists that have it refer to its new record, and how long another order of a list takes,"
    " as multiples of the bare putRecords; also how many records and bytes the edit writes."
)
LISTS: Final = COLLECTION.replace("track", "list")
MAX_RATIO: Final = 2.0
POLL_SECONDS: Final = 0.01
WAVEFORMS_TIMEOUT_SECONDS: Final = 600.0
WAIT: Final = {"Prefer": "wait=10"}

_numbers: Final = count(1)


@dataclass(frozen=True)
class Sizes:
    lists: int
    items: int


USUAL: Final = Sizes(lists=10, items=500)
QUICK: Final = Sizes(lists=5, items=10)
"""More lists than go with the track."""


def run(folder: Path, effort: Effort, show_progress: Callable[[str], None]) -> list[Row]:
    """Measure on SQLite, and on PostgreSQL if it is available."""
    sizes = QUICK if effort.is_quick else USUAL
    with ExitStack() as stack:
        show_progress("starting a PLC directory, a PDS and the services")
        servers = stack.enter_context(start_servers(folder))
        bare = _Bare(servers.pds, create_account(servers.pds, "bare"), sizes)
        artists = []
        for name, url in stack.enter_context(databases()).items():
            client = stack.enter_context(start_service(servers, name.lower(), url))
            show_progress(f"uploading {sizes.items} tracks, {name}")
            artists.append(_Artist(name, client, servers.pds, sizes))
        in_lists = f"a track in {sizes.lists} lists of {sizes.items} items"
        edits = compare(
            Arm(f"bare putRecords of {in_lists}", bare.puts_all),
            [Arm(f"{each.name}: edit of {in_lists}", each.edits) for each in artists],
            effort,
            show_progress,
        )
        counts = [
            row for each, edit in zip(artists, edits[1:], strict=True) for row in each.counts(in_lists, edit)
        ]
        with ExitStack() as held:
            orders = [(each, held.enter_context(each.one_list())) for each in artists]
            what = f"a list of {sizes.items} items"
            reorders = compare(
                Arm(f"bare putRecord of {what}", bare.puts_list),
                [
                    arm
                    for artist, path in orders
                    for arm in (
                        Arm(f"{artist.name}: another order of {what}", artist.orders(path), MAX_RATIO),
                        Arm(
                            f"{artist.name}: another order of {what}, until it is at the PDS",
                            artist.orders(path, **WAIT),
                        ),
                    )
                ],
                effort,
                show_progress,
            )
        return [*edits, *counts, *reorders]


class _Bare:
    """Writes the same records to the PDS, one after the other."""

    def __init__(self, pds: DevPds, did: str, sizes: Sizes) -> None:
        self._pds, self._did, self._sizes = pds, did, sizes

    def puts_all(self, operations: int) -> Seconds:
        def put_all() -> None:
            self._put(COLLECTION, "3kbenchtrack22", bare_record())
            for number in range(self._sizes.lists):
                self._put_list(number)

        return time_operations(put_all, _few(operations))

    def puts_list(self, operations: int) -> Seconds:
        return time_operations(lambda: self._put_list(0), operations)

    def _put_list(self, number: int) -> None:
        uri = f"at://{self._did}/{COLLECTION}/3kbenchtrack22"
        subject = {"uri": uri, "cid": "bafyreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq"}
        record = {
            "$type": LISTS,
            "name": new_title(),
            "listType": "playlist",
            "items": [{"subject": subject}] * self._sizes.items,
            "createdAt": "2026-01-01T00:00:00.000000Z",
        }
        self._put(LISTS, f"3kbenchlist{number:03}", record)

    def _put(self, collection: str, rkey: str, record: dict[str, Any]) -> None:
        self._pds.put_record(self._did, collection, rkey, record)


@dataclass
class _Artist:
    """One account with as many tracks as a list has items."""

    name: str
    client: Client
    pds: DevPds
    sizes: Sizes
    written: list[float] = field(default_factory=list)
    """Records that each edit wrote."""
    bytes_written: list[float] = field(default_factory=list)
    """As a multiple of what one write of each would be."""

    def __post_init__(self) -> None:
        tracks = [
            self.client.upload(tone(100 + number, 0.05), title=new_title())
            for number in range(self.sizes.items)
        ]
        self.entries = [{"track_id": track["id"]} for track in tracks]
        self.uri = str(tracks[0]["atproto_record_uri"])
        self.did = self.uri.split("/")[2]
        self.until_quiet()
        # what is made of uploads in the background takes long, and is not measured here
        last = f"/tracks/{tracks[-1]['id']}/waveform"
        self._until(lambda: self.client.http.get(last).is_success, WAVEFORMS_TIMEOUT_SECONDS)

    def edits(self, operations: int) -> Seconds:
        """Edit a track in lists that were just made: each follows it at once then, and later at most once in ten minutes."""
        return [self._edit() for _ in range(_few(operations))]

    def _edit(self) -> float:
        with ExitStack() as stack:
            paths = [stack.enter_context(self.one_list()) for _ in range(self.sizes.lists)]
            keys = [self._read(path)["uri"].rpartition("/")[2] for path in paths]
            before = self._cid()
            began = time.perf_counter()
            self.client.edit(self.entries[0]["track_id"], title=new_title())
            self._until(lambda: self._cid() != before)
            cid = self._cid()
            for key in keys:
                self._until(partial(self._refers, key, cid))
            seconds = time.perf_counter() - began
            self.until_quiet()
            revs = [{each["rev"] for each in self._read(f"{path}/mirror")["attempts"]} for path in paths]
            writes = [len(each) - 1 for each in revs]
            sizes = [len(json.dumps(self._record(key))) for key in keys]
            self.written.append(1 + sum(writes))
            self.bytes_written.append(sum(map(int.__mul__, writes, sizes)) / sum(sizes))
            return seconds

    def counts(self, what: str, edit: Row) -> Sequence[Row]:
        """Return rows of what the edits wrote; their times are those of the edits."""
        bare = self.sizes.lists + 1
        ratios = {
            "records written": [each / bare for each in self.written],
            "bytes of lists": self.bytes_written,
        }
        return [
            Row(
                f"{self.name}: {name} for {what}",
                edit.milliseconds,
                edit.per_second,
                Spread.of(values),
                below=None,
            )
            for name, values in ratios.items()
        ]

    @contextmanager
    def one_list(self) -> Iterator[str]:
        """Yield the path of a new list of all tracks that is at the PDS; delete it at the end."""
        body = {"name": new_title(), "tracks": self.entries}
        reply = self.client.http.post("/playlists", json=body, headers=WAIT).raise_for_status()
        path = f"/playlists/{reply.json()['id']}"
        self.until_quiet()
        try:
            yield path
        finally:
            self.client.http.delete(path).raise_for_status()
            self.until_quiet()

    def orders(self, path: str, **headers: str) -> Callable[[int], Seconds]:
        """Set another order, as decided on the version before; what follows is not measured."""
        version: int = 0

        def order() -> None:
            nonlocal version
            turned = next(_numbers) % len(self.entries)
            entries = [*self.entries[turned:], *self.entries[:turned]]
            decided_on = {"If-Match": f'"{version}"', **headers}
            reply = self.client.http.put(f"{path}/tracks", json={"tracks": entries}, headers=decided_on)
            version = reply.raise_for_status().json()["version"]

        def ordered(operations: int) -> Seconds:
            nonlocal version
            version = self._read(path)["version"]
            seconds = time_operations(order, operations)
            self.until_quiet()
            return seconds

        return ordered

    def until_quiet(self) -> None:
        self._until(lambda: not self._read("/me/mirror")["waiting"])

    def _read(self, path: str) -> dict[str, Any]:
        return dict(self.client.http.get(path).raise_for_status().json())

    def _cid(self) -> str:
        found = self.pds.get_record(self.did, COLLECTION, self.uri.rpartition("/")[2])
        return "" if found is None else str(found["cid"])

    def _record(self, rkey: str) -> dict[str, Any]:
        found = self.pds.get_record(self.did, LISTS, rkey)
        if found is None:
            raise RuntimeError(f"no record {rkey}")
        return dict(found["value"])

    def _refers(self, rkey: str, cid: str) -> bool:
        return bool(self._record(rkey)["items"][0]["subject"]["cid"] == cid)

    @staticmethod
    def _until(is_so: Callable[[], bool], seconds: float = DRAIN_TIMEOUT_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not is_so():
            if time.monotonic() > deadline:
                raise TimeoutError("the service did not catch up")
            time.sleep(POLL_SECONDS)


def _few(operations: int) -> int:
    """Return how often all records are written for so many single operations."""
    return max(1, operations // 10)
