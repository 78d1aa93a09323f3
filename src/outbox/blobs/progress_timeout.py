"""A timeout on progress: an upload ends when the PDS stops reading or does not answer, and never for its length alone."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

STALL_TIMEOUT_SECONDS: Final = 60.0
"""For the PDS to read one chunk, or to accept the connection."""
ANSWER_TIMEOUT_SECONDS: Final = 180.0
"""For the PDS to answer once it has all bytes, which it may have to store first."""


async def watched(chunks: AsyncIterator[bytes], progress: asyncio.Timeout) -> AsyncIterator[bytes]:
    """Pass the chunks on; limits the time of the PDS, not that of our storage."""
    progress.reschedule(None)
    async for chunk in chunks:
        progress.reschedule(_in(STALL_TIMEOUT_SECONDS))
        yield chunk
        progress.reschedule(None)
    progress.reschedule(_in(ANSWER_TIMEOUT_SECONDS))


def _in(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds
