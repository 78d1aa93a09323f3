"""What a process does again and again goes on, whatever fails."""

import asyncio
from contextlib import suppress

import pytest

from service.process.lifespan import every


def test_periodic_work_goes_on_after_a_failure_that_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    done: list[str] = []
    enough = asyncio.Event()

    async def run() -> None:
        loop = asyncio.get_running_loop()

        def work(name: str) -> None:
            done.append(name)
            if len(done) == 3:
                loop.call_soon_threadsafe(enough.set)
            raise OSError("the disk is full")

        task = asyncio.create_task(every(0.001, work, "mark"))
        await asyncio.wait_for(enough.wait(), 30)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert done[:3] == ["mark"] * 3
    assert "periodic_work_failed" in caplog.text
