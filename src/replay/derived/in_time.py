"""Work with the media store, which may hang, in a thread and in time."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from eventstore.coordination.threads import Threads
from storage.errors import StoreUnavailableError
from storage.store import store_seconds

P = ParamSpec("P")
T = TypeVar("T")


async def in_time(threads: Threads, size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do work that reads or writes `size` bytes; raises StoreUnavailableError where it takes too long."""
    try:
        async with asyncio.timeout(store_seconds(size)) as limit:
            return await threads.run(work, *args, **kwargs)
    except TimeoutError:
        if not limit.expired():
            raise
        raise StoreUnavailableError("it did not answer in time") from None
