"""Replies of servers that an account chose: read whole up to a size limit, and distinguished by error name."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import httpx

from identity.resolution.address_policy import MAX_REDIRECTS

CheckUrl = Callable[[str], None]
"""Raises UnsafeAddressError for a URL that may not be requested; `AddressPolicy.check` is one."""


@asynccontextmanager
async def open_reply(
    http: httpx.AsyncClient, request: httpx.Request, *, redirects: CheckUrl | None = None
) -> AsyncGenerator[httpx.Response]:
    """Send, and yield the reply with its body unread. With `redirects`, redirects to URLs that it allows are followed."""
    for hops_left in reversed(range(MAX_REDIRECTS + 1)):
        reply = await http.send(request, stream=True, follow_redirects=False)
        try:
            if redirects is None or reply.next_request is None:
                yield reply
                return
            if not hops_left:
                raise httpx.TooManyRedirects("too many redirects", request=reply.request)
            request = reply.next_request
            redirects(str(request.url))
        finally:
            await reply.aclose()


async def send_whole(
    http: httpx.AsyncClient, request: httpx.Request, *, limit: int, redirects: CheckUrl | None = None
) -> httpx.Response:
    """Send and read the whole reply; raises RemoteProtocolError if it has more than `limit` bytes."""
    content = bytearray()
    async with open_reply(http, request, redirects=redirects) as reply:
        async for chunk in reply.aiter_bytes():
            content += chunk
            if len(content) > limit:
                raise httpx.RemoteProtocolError("the reply is too large", request=reply.request)
    decoded = {"content-encoding", "content-length", "transfer-encoding"}
    return httpx.Response(
        reply.status_code,
        headers=[(name, value) for name, value in reply.headers.multi_items() if name not in decoded],
        content=bytes(content),
        request=reply.request,
    )


def error_name(reply: httpx.Response) -> str | None:
    """Return the `error` of an XRPC error reply, or None."""
    if reply.is_success:
        return None
    try:
        name = reply.json().get("error")
    except (ValueError, AttributeError):
        return None
    return name if isinstance(name, str) else None


def without_secrets(error: Exception) -> Exception:
    """Replace the request of an httpx error, which contains secrets, by its method and URL."""
    if isinstance(error, httpx.RequestError):
        error.request = httpx.Request(error.request.method, error.request.url)
    return error
