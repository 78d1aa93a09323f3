"""An upload that progresses is not timed out, however long it takes; one that stalls is."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from outbox.blobs.worker import ANSWER_TIMEOUT_SECONDS, STALL_TIMEOUT_SECONDS, watched
from tests.simulation.virtual_time import VirtualLoop

CHUNKS = 10


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    made = VirtualLoop()
    yield made
    made.end()


async def chunks(pause: float = 0.0) -> AsyncIterator[bytes]:
    for _ in range(CHUNKS):
        await asyncio.sleep(pause)
        yield b"bytes"


async def upload(*, read: float = 0.0, take: float = 0.0, answer: float = 0.0, begin: float = 0.0) -> int:
    """Send all chunks; what takes this long is to read one, to take one, to answer and to begin."""
    sent = 0
    async with asyncio.timeout(STALL_TIMEOUT_SECONDS) as progress:
        await asyncio.sleep(begin)
        async for _ in watched(chunks(read), progress):
            await asyncio.sleep(take)
            sent += 1
        await asyncio.sleep(answer)
    return sent


@pytest.mark.parametrize(
    "slow",
    [
        {"take": STALL_TIMEOUT_SECONDS - 1},
        {"read": STALL_TIMEOUT_SECONDS + 1},
        {"answer": ANSWER_TIMEOUT_SECONDS - 1},
    ],
)
def test_an_upload_that_progresses_is_not_timed_out(loop: VirtualLoop, slow: dict[str, float]) -> None:
    assert loop.run(upload(**slow)) == CHUNKS


@pytest.mark.parametrize(
    "stalled",
    [
        {"begin": STALL_TIMEOUT_SECONDS + 1},
        {"take": STALL_TIMEOUT_SECONDS + 1},
        {"answer": ANSWER_TIMEOUT_SECONDS + 1},
    ],
)
def test_an_upload_that_stalls_is_timed_out(loop: VirtualLoop, stalled: dict[str, float]) -> None:
    with pytest.raises(TimeoutError):
        loop.run(upload(**stalled))
