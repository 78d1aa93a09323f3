"""Bodies that other servers send."""

from collections.abc import AsyncIterator


async def read_within(limit: int, chunks: AsyncIterator[bytes], announced: str) -> bytes | None:
    """Read a body, or None if it has more than `limit` bytes or its `announced` Content-Length says so; the rest stays unread."""
    if announced.isdecimal() and int(announced) > limit:
        return None
    content = bytearray()
    async for chunk in chunks:
        content += chunk
        if len(content) > limit:
            return None
    return bytes(content)
