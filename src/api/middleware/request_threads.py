"""The threads in which requests read. A caller has a few of them at a time: they are those of all."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from contextvars import ContextVar
from functools import partial
from typing import Final, ParamSpec, TypeVar

from starlette.concurrency import run_in_threadpool

from eventstore.coordination.threads import Turns
from eventstore.errors import ThreadsBusyError

P = ParamSpec("P")
T = TypeVar("T")

MAX_CONCURRENT_READS_OF_A_CALLER: Final = 4
MAX_TURN_WAIT_SECONDS: Final = 5.0

_turn: Final[ContextVar[Callable[[], AbstractAsyncContextManager[None]]]] = ContextVar(
    "turn", default=nullcontext
)


def read_in_turn(turns: Turns, caller: str) -> None:
    """Have what is read for this request from now on wait for its caller's turn: that of an account or an address."""
    _turn.set(partial(turns.of, caller))


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Read in a thread; raises ThreadsBusyError where the caller's turn does not come in time."""
    async with AsyncExitStack() as held:
        try:
            async with asyncio.timeout(MAX_TURN_WAIT_SECONDS):
                await held.enter_async_context(_turn.get()())
        except TimeoutError:
            raise ThreadsBusyError("requests") from None
        return await run_in_threadpool(work, *args, **kwargs)
