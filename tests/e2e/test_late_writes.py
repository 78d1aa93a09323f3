"""A put that arrives late never overwrites a newer one that was acknowledged; without a swap it does.

The relay's put of one edit is cut off and kept on its way. The next edit is put at once, and the old request
reaches the PDS before, beside or after it.
"""

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from demo.story import COLLECTION
from devpds.server import DevPds, DevPlc
from tests.e2e.artist import Artist
from tests.e2e.conftest import DEEP, ONE_DATABASE, NewArtist
from tests.faults.exchange import RESET
from tests.faults.faults import Hold
from tests.faults.proxy import FaultProxy, of_repo
from tests.servers.atproto import new_account

pytestmark = pytest.mark.pds

ROUNDS = 40 if DEEP else 12
TRIES = 40
ARTISTS = 4
OTHER_WRITERS = 6
WHEN = ("before", "beside", "after")
INVALID_SWAP = 400
NOISE = "com.example.noise"
LATE_SECONDS = 1.0


@contextmanager
def other_writers(pds: DevPds, dids: Sequence[str], number: int) -> Iterator[None]:
    """Keep these repositories busy with writes of other clients to other records."""
    stop = threading.Event()

    def write(did: str, rkey: str) -> None:
        count = 0
        while not stop.is_set():
            count += 1
            pds.put_record(did, NOISE, rkey, {"$type": NOISE, "count": count})

    with ThreadPoolExecutor(max(1, number)) as threads:
        writers = [threads.submit(write, dids[n % len(dids)], f"noise{n}") for n in range(number)]
        try:
            yield
        finally:
            stop.set()
    for writer in writers:
        writer.result()


def overtaken_put(artist: Artist, proxy: FaultProxy, number: int) -> tuple[str, int | None]:
    """Let the put of one edit be late; gives the title in the end, and the PDS's answer to the late one."""
    when, hold, ours = WHEN[number % len(WHEN)], Hold(), of_repo(artist.did)
    old, new = f"{number} old", f"{number} new"
    late: list[int | None] = []

    def await_put(title: str) -> None:
        proxy.await_passed("putRecord", matches=lambda it: ours(it) and it.json["record"]["title"] == title)

    def comes_if(now: str) -> None:
        late.extend(proxy.release_late(hold) if when == now else [])

    proxy.on("putRecord", fault=hold, times=1, matches=ours)
    artist.edits(title=old)
    await_put(old)
    comes_if("before")
    artist.edits(title=new)
    assert artist.asks("mirror/retry").is_success  # at once: it would wait a little after a failure
    await_put(new)
    comes_if("beside")
    artist.agreed()
    comes_if("after")
    assert artist.record is not None
    [answer] = late
    return artist.record["title"], answer


@ONE_DATABASE
@pytest.mark.parametrize("writers", [OTHER_WRITERS, 0] if DEEP else [OTHER_WRITERS])
def test_no_acknowledged_edit_is_overwritten_by_a_late_one(
    new_artist: NewArtist, proxied_pds: DevPds, proxy: FaultProxy, writers: int
) -> None:
    artists = [new_artist(proxied_pds) for _ in range(ARTISTS)]
    for artist in artists:
        artist.uploads()
        artist.agreed()

    def rounds_of(first: int) -> list[tuple[str, int | None]]:
        return [overtaken_put(artists[first], proxy, number) for number in range(first, ROUNDS, ARTISTS)]

    dids = [artist.did for artist in artists]
    with other_writers(proxied_pds, dids, writers), ThreadPoolExecutor(ARTISTS) as threads:
        ends = [end for ends in threads.map(rounds_of, range(ARTISTS)) for end in ends]

    assert len(ends) == ROUNDS
    assert [title for title, _ in ends if not title.endswith("new")] == []
    assert Counter(answer for _, answer in ends)[INVALID_SWAP] >= ROUNDS // len(WHEN)
    for artist in artists:
        assert {row["type"] for row in artist.client.history(artist.track_id)} == {
            "Created",
            "MetadataUpdated",
        }


class BareClient:
    """Puts without a swap, and gives some up as soon as they are sent."""

    def __init__(self, pds: DevPds, did: str) -> None:
        self.pds, self.did = pds, did

    def abandon_put(self, rkey: str, value: int) -> None:
        """Send it all, then reset the connection without reading the response."""
        record = {"$type": COLLECTION, "v": value}
        body = json.dumps(
            {"repo": self.did, "collection": COLLECTION, "rkey": rkey, "record": record}
        ).encode()
        head = [
            "POST /xrpc/com.atproto.repo.putRecord HTTP/1.1",
            "Host: localhost",
            f"Authorization: Bearer {self.pds.access_token(self.did)}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        ]
        with socket.create_connection(("127.0.0.1", self.pds.port)) as connection:
            connection.sendall("\r\n".join([*head, "", ""]).encode() + body)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    def is_overwritten(self, rkey: str) -> bool:
        """Whether a put that was given up lands on top of the next one, which was acknowledged."""
        self.abandon_put(rkey, 1)
        self.pds.put_record(self.did, COLLECTION, rkey, {"$type": COLLECTION, "v": 2})
        deadline = time.monotonic() + LATE_SECONDS
        while time.monotonic() < deadline:
            found = self.pds.get_record(self.did, COLLECTION, rkey)
            if found is not None and found["value"]["v"] != 2:
                return True
        return False


def test_without_a_swap_some_late_put_overwrites(pds: DevPds, plc: DevPlc) -> None:
    did = new_account(pds, plc).did
    client = BareClient(pds, did)
    with other_writers(pds, [did], OTHER_WRITERS):
        assert any(client.is_overwritten(f"r{number}") for number in range(TRIES))
