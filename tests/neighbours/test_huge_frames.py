"""A frame of a firehose is decoded in a few milliseconds, or skipped."""

import asyncio

import libipld
import pytest

from outbox.firehose.frames import message_in, subscribed
from tests.dsl import ALICE, COLLECTION
from tests.neighbours.hostile_pds import (
    MAX_STALL_SECONDS,
    MB,
    watched_loop,
)
from tests.outbox.rigs.stream_host import CID as LINK
from tests.outbox.rigs.stream_host import commit, stream_host

pytestmark = pytest.mark.anyio


class Loopback:
    """Every host is on this machine."""

    async def of(self, _origin: str) -> str:
        return "127.0.0.1"


async def test_a_frame_of_many_values_is_skipped_and_the_next_one_heard() -> None:
    head = bytes(libipld.encode_dag_cbor({"op": 1, "t": "#commit"}))
    size = 5 * MB - 100
    hostile = head + b"\x9a" + size.to_bytes(4) + b"\x80" * size
    async with stream_host() as host:
        honest = commit(2, ALICE, "3k", (f"{COLLECTION}/a", LINK))
        message_in(honest)  # the first message of a process imports the parser
        host.greets = [hostile, honest]
        async with subscribed(host.url, None, Loopback()) as stream, watched_loop() as stall:
            async with asyncio.timeout(20):
                heard = [await stream.next(10), await stream.next(10)]
    assert heard[0] is None
    assert heard[1] is not None
    assert (heard[1].seq, heard[1].did) == (2, ALICE)
    assert stall.longest < MAX_STALL_SECONDS
