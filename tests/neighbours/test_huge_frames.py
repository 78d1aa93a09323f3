"""A frame of a firehose is decoded in a few milliseconds, or skipped."""

import asyncio

import libipld
import pytest

from outbox.firehose.connection import Share, subscribed
from outbox.firehose.frames import Message, message_in
from tests.dsl import ALICE, COLLECTION
from tests.neighbours.hostile_pds import (
    MAX_STALL_SECONDS,
    MB,
    watched_loop,
)
from tests.outbox.rigs.stream_host import CID as LINK
from tests.outbox.rigs.stream_host import Loopback, StreamHost, commit, frame, stream_host

pytestmark = pytest.mark.anyio


async def heard(host: StreamHost, count: int) -> list[Message | None]:
    found: list[Message | None] = []
    async with subscribed(host.url, None, Loopback(), Share()) as connection, asyncio.timeout(30):
        while len(found) < count:
            found += [message_in(data) for data in await connection.read(10)]
    return found


async def test_a_frame_of_many_values_is_skipped_and_the_next_one_heard() -> None:
    head = bytes(libipld.encode_dag_cbor({"op": 1, "t": "#commit"}))
    size = 5 * MB - 100
    hostile = head + b"\x9a" + size.to_bytes(4) + b"\x80" * size
    async with stream_host() as host:
        honest = commit(2, ALICE, "3k", (f"{COLLECTION}/a", LINK))
        host.greets = [hostile, honest]
        async with watched_loop() as stall:
            first, second = await heard(host, 2)
    assert first is None
    assert second is not None
    assert ((second.place or {})["seq"], second.did) == (2, ALICE)
    assert stall.longest < MAX_STALL_SECONDS


async def test_the_frames_of_an_honest_backlog_end_no_stream() -> None:
    messages = [frame("#identity", seq=seq, did=ALICE) for seq in range(10_000)]
    async with stream_host() as host:
        host.greets = messages
        found = await heard(host, len(messages))
    assert [message.body["seq"] for message in found if message is not None] == list(range(10_000))
