"""When an upload stands still: the PDS takes nothing more, or has all and says nothing.

However long a large one takes, one that gets on is left alone; one that does not frees its place for others.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

STALL_SECONDS: Final = 60.0
"""For the PDS to take one chunk, or to let us begin."""
ANSWER_SECONDS: Final = 180.0
"""For the PDS to answer once it has all: it may have to take it somewhere first."""


async def watched(chunks: AsyncIterator[bytes], patience: asyncio.Timeout) -> AsyncIterator[bytes]:
    """Pass the chunks on. Only the time of who takes them is limited, not that of our storage."""
    patience.reschedule(None)
    async for chunk in chunks:
        patience.reschedule(_in(STALL_SECONDS))
        yield chunk
        patience.reschedule(None)
    patience.reschedule(_in(ANSWER_SECONDS))


def _in(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds
