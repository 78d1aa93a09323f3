"""Fetches a URL that an account chose: from public addresses only, bounded in size and time."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx

from eventstore.untrusted import whole_number
from identity.errors import FetchRefusedError
from identity.resolution.address_policy import AddressPolicy
from identity.resolution.http_responses import open_reply

OnReply = Callable[[httpx.Response], Awaitable[None]]
"""Receives a reply of any status before its body is read."""


@asynccontextmanager
async def fetched(
    http: httpx.AsyncClient,
    policy: AddressPolicy,
    url: str,
    *,
    limit: int,
    seconds: float,
    on_reply: OnReply | None = None,
) -> AsyncGenerator[AsyncIterator[bytes]]:
    """Yield the body as it arrives, after calling `on_reply`; `http` should come from `address_policy.public_client`.

    No cookies or tokens are sent. Raises UnsafeAddressError; FetchRefusedError for another status than 200 and for more
    than `limit` bytes; httpx.HTTPError; and TimeoutError if the whole takes longer than `seconds`.
    """
    policy.check(url)
    async with (
        asyncio.timeout(seconds),
        open_reply(http, http.build_request("GET", url), redirects=policy.check) as reply,
    ):
        if on_reply is not None:
            await on_reply(reply)
        if reply.status_code != httpx.codes.OK:
            raise FetchRefusedError(f"it answered {reply.status_code}", status=reply.status_code)
        if (whole_number(reply.headers.get("content-length", "")) or 0) > limit:
            raise FetchRefusedError(f"it has more than {limit} bytes")
        yield _bounded(reply, limit)


async def _bounded(reply: httpx.Response, limit: int) -> AsyncIterator[bytes]:
    left = limit
    async for chunk in reply.aiter_bytes():
        left -= len(chunk)
        if left < 0:
            raise FetchRefusedError(f"it has more than {limit} bytes")
        yield chunk
