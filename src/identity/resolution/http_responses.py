"""Replies of servers, and URLs, that an account chose: read up to a size limit, and distinguished by error name."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx

from eventstore.untrusted import parsed, read_within, whole_number
from identity.errors import FetchRefusedError
from identity.resolution.address_policy import MAX_REDIRECTS, AddressPolicy

MAX_ERROR_BYTES: Final = 16 * 1024
"""Of the body of an error, whose name and message are short; a longer one, such as a proxy's page, is left unread."""

CheckUrl = Callable[[str], None]
"""Raises UnsafeAddressError for a URL that may not be requested; `AddressPolicy.check` is one."""


class UntrustedReply(httpx.Response):
    """A reply whose JSON is parsed within the limits of untrusted JSON."""

    def json(self, **_: Any) -> Any:
        """Parse the body; raises ValueError whatever is wrong with it."""
        return parsed(self.content)


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
    """Send and read the whole reply; raises RemoteProtocolError if it is a success with more than `limit` bytes.

    An error with a body that is too long is returned without it: its status and headers say what to do.
    """
    async with open_reply(http, request, redirects=redirects) as reply:
        content = await read_within(
            limit if reply.is_success else min(limit, MAX_ERROR_BYTES),
            reply.aiter_bytes(),
            reply.headers.get("content-length", ""),
        )
        if content is None and reply.is_success:
            raise httpx.RemoteProtocolError("the reply is too large", request=reply.request)
    decoded = {"content-encoding", "content-length", "transfer-encoding"}
    return UntrustedReply(
        reply.status_code,
        headers=[(name, value) for name, value in reply.headers.multi_items() if name not in decoded],
        content=content or b"",
        request=reply.request,
    )


def error_name(reply: httpx.Response) -> str | None:
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

        async def bounded(left: int) -> AsyncIterator[bytes]:
            async for chunk in reply.aiter_bytes():
                left -= len(chunk)
                if left < 0:
                    raise FetchRefusedError(f"it has more than {limit} bytes")
                yield chunk

        yield bounded(limit)
