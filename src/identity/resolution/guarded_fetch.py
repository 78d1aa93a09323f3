"""Bytes from an address that somebody else chose: only public ones, only so many, only for so long."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx

from identity.errors import FetchRefusedError
from identity.resolution.address_policy import AddressPolicy
from identity.resolution.http_responses import replied

Hear = Callable[[httpx.Response], Awaitable[None]]
"""Takes an answer of any status, whose body is still to come."""


@asynccontextmanager
async def fetched(
    http: httpx.AsyncClient,
    policy: AddressPolicy,
    url: str,
    *,
    limit: int,
    seconds: float,
    hear: Hear | None = None,
) -> AsyncGenerator[AsyncIterator[bytes]]:
    """Yield the body as it arrives, once `hear` was told of its headers; `http` should come from `addresses.public_client`.

    Nobody's cookies or tokens go along. Raises UnsafeAddressError, FetchRefusedError for an answer that is not the
    bytes or too many of them, httpx.HTTPError, and TimeoutError when the whole takes longer than `seconds`.
    """
    policy.check(url)
    async with (
        asyncio.timeout(seconds),
        replied(http, http.build_request("GET", url), redirects=policy.check) as reply,
    ):
        if hear is not None:
            await hear(reply)
        if reply.status_code != httpx.codes.OK:
            raise FetchRefusedError(f"it answered {reply.status_code}", status=reply.status_code)
        announced = reply.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > limit:
            raise FetchRefusedError(f"it has more than {limit} bytes")
        yield _bounded(reply, limit)


async def _bounded(reply: httpx.Response, limit: int) -> AsyncIterator[bytes]:
    left = limit
    async for chunk in reply.aiter_bytes():
        left -= len(chunk)
        if left < 0:
            raise FetchRefusedError(f"it has more than {limit} bytes")
        yield chunk
