"""Replies of servers that somebody else chose: read whole, but only up to a size, and told apart by error name."""

import httpx


async def send_whole(
    http: httpx.AsyncClient, request: httpx.Request, *, limit: int, redirects: bool = False
) -> httpx.Response:
    """Send and read the whole reply, unless it is larger than `limit` bytes."""
    reply = await http.send(request, stream=True, follow_redirects=redirects)
    try:
        content = bytearray()
        async for chunk in reply.aiter_bytes():
            content += chunk
            if len(content) > limit:
                raise httpx.RemoteProtocolError("the reply is too large", request=reply.request)
    finally:
        await reply.aclose()
    decoded = {"content-encoding", "content-length", "transfer-encoding"}
    return httpx.Response(
        reply.status_code,
        headers=[(name, value) for name, value in reply.headers.multi_items() if name not in decoded],
        content=bytes(content),
        request=reply.request,
    )


def error_name(reply: httpx.Response) -> str | None:
    """The `error` of an XRPC error reply, if it is one."""
    if reply.is_success:
        return None
    try:
        name = reply.json().get("error")
    except (ValueError, AttributeError):
        return None
    return name if isinstance(name, str) else None


def without_secrets(error: Exception) -> Exception:
    """Take the request, which holds secrets, out of an httpx error that holds on to it."""
    if isinstance(error, httpx.RequestError):
        error.request = httpx.Request(error.request.method, error.request.url)
    return error
