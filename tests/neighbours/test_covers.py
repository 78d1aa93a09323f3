"""Covers that take long to decode: an account has one in work, and others' are decoded meanwhile."""

import asyncio
from collections import Counter

from api.pipeline.concurrency import MAX_CONCURRENT_UPLOADS
from tests.api.world import upload
from tests.media_samples import samples
from tests.storage.other_program import changed
from tests.waits import until_async

SLOW = samples.png(60, 60)
DECODES_SLOWLY = """import os, time
    if staged.size == {size}:
        os.makedirs(f"{started}/{{time.time_ns()}}")  # it may write to no file
        while not os.path.exists({go_on!r}):
            time.sleep(0.01)
    return program._artwork(staged)"""


def test_covers_of_one_account_are_decoded_one_at_a_time_and_delay_no_other(world, alice, bob, tmp_path):
    started, go_on = tmp_path / "started", tmp_path / "go_on"
    text = DECODES_SLOWLY.format(size=len(SLOW), started=started, go_on=str(go_on))
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
            await until_async(lambda: started.exists() and sum(each.done() for each in patches) == refused)
            cover = ("y.png", samples.png(40, 40))
            answer = await artist.patch(f"/tracks/{other['id']}", files={"image": cover}, timeout=60)
            begun = len([*started.iterdir()])
            go_on.touch()
            return answer, begun, await asyncio.gather(*patches)

    with changed(world.made.parsers, tmp_path, "artwork", text):
        answer, begun, patches = asyncio.run(patch_covers())

    assert (answer.status_code, begun) == (200, 1)
    assert Counter(each.status_code for each in patches) == {
        200: MAX_CONCURRENT_UPLOADS,
        429: 12 - MAX_CONCURRENT_UPLOADS,
    }
