"""Waits for a condition, with a limit."""

import asyncio
import time
from collections.abc import Callable

LONG_SECONDS = 60.0


def until(condition: Callable[[], object], *, within: float = LONG_SECONDS, pause: float = 0.05) -> None:
    """Wait for what another thread, process or server brings about."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not in {within} s"
        time.sleep(pause)


async def until_async(condition: Callable[[], object], *, within: float = LONG_SECONDS) -> None:
    """Wait for what another task, thread or server brings about."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - no event tells of all that is waited for
            await asyncio.sleep(0.01)
