"""Threads of the outbox's own: the relay's database calls may all wait, and hold up nobody else's."""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

THREADS: Final = 16
"""Half of the connections that a process may open: asyncio's own pool is smaller, and others use it."""

P = ParamSpec("P")
T = TypeVar("T")

_pool: Final = ThreadPoolExecutor(THREADS, thread_name_prefix="outbox")


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run blocking work, in the caller's context."""
    call = partial(contextvars.copy_context().run, partial(work, *args, **kwargs))
    return await asyncio.get_running_loop().run_in_executor(_pool, call)
