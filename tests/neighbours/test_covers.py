"""Covers that take long to decode: an account has one in work, and others' are decoded meanwhile."""

import asyncio
import threading
from collections import Counter

import pytest

from api.pipeline import media_intake
from api.pipeline.concurrency import MAX_CONCURRENT_UPLOADS
from storage.formats.artwork import read_artwork
from tests.api.world import upload
from tests.media_samples import samples
from tests.waits import until_async

SLOW = samples.png(60, 60)


class SlowDecoder:
    """Decodes one image only after `go_on`."""

    def __init__(self):
        self.started = 0
        self.go_on = threading.Event()

    def __call__(self, staged):
        if staged.path.read_bytes() == SLOW:
            self.started += 1
            self.go_on.wait()
        return read_artwork(staged)


@pytest.fixture
def decoder(monkeypatch):
    made = SlowDecoder()
    monkeypatch.setattr(media_intake, "read_artwork", made)
    yield made
    made.go_on.set()


def test_covers_of_one_account_are_decoded_one_at_a_time_and_delay_no_other(world, alice, bob, decoder):
    with world.serve() as client:
        own, other = upload(client, alice), upload(client, bob, seed=2)

    async def patch_covers():
        async with world.async_client(alice) as greedy, world.async_client(bob) as artist:
            patches = [
                asyncio.create_task(
                    greedy.patch(f"/tracks/{own['id']}", files={"image": ("x.png", SLOW)}, timeout=60)
                )
                for _ in range(12)
            ]
            refused = 12 - MAX_CONCURRENT_UPLOADS
            await until_async(lambda: decoder.started and sum(each.done() for each in patches) == refused)
            cover = ("y.png", samples.png(40, 40))
            answer = await artist.patch(f"/tracks/{other['id']}", files={"image": cover}, timeout=60)
            started = decoder.started
            decoder.go_on.set()
            return answer, started, await asyncio.gather(*patches)

    answer, started, patches = asyncio.run(patch_covers())

    assert (answer.status_code, started) == (200, 1)
    assert Counter(each.status_code for each in patches) == {
        200: MAX_CONCURRENT_UPLOADS,
        429: 12 - MAX_CONCURRENT_UPLOADS,
    }
