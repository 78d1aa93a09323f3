"""Bodies that other servers send."""

from collections.abc import AsyncIterator

from eventstore.foreign_json import whole_number


async def read_within(limit: int, chunks: AsyncIterator[bytes], announced: str) -> bytes | None:
    """Read a body, or None if it has more than `limit` bytes or its `announced` Content-Length says so; the rest stays unread."""
    if (whole_number(announced) or 0) > limit:
        return None
    content = bytearray()
    async for chunk in chunks:
        content += chunk
        if len(content) > limit:
            return None
    return bytes(content)
