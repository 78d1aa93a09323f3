"""Limits requests per minute, by principal or by address.

Each key has an allowance that refills evenly (GCRA), so that nothing has to be counted per request and a burst may
use all of it at once. Each process counts for itself: with N processes behind one address the limits are N times these.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import RateLimitedError

MINUTE_SECONDS: Final = 60.0
MAX_KEYS: Final = 100_000
"""Above this, keys with a full allowance are dropped, so that ever new addresses cannot fill the memory."""
BYTES: Final = ("/audio/", "/artwork/")
FREE: Final = frozenset({"/healthz", "/readyz", "/metrics", "/oauth-client-metadata.json", "/jwks.json"})
SIGN_IN: Final = frozenset({"/auth/app-password", "/auth/login", "/auth/callback"})


@dataclass(frozen=True)
class Taken:
    """The state of an allowance after a request; `reset` and `retry_after` are in seconds."""

    limit: int
    remaining: int
    reset: int
    retry_after: int | None = None


class Allowance:
    """`limit` requests per minute for each key."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit: Final = limit
        self._clock = clock
        self._interval = MINUTE_SECONDS / limit
        self._full_at: dict[str, float] = {}
        """When each key's allowance is full again, in the clock's seconds; a key with a full one needs no entry."""

    def take(self, key: str) -> Taken:
        """Take one request from the allowance; a refused request takes nothing."""
        now = self._clock()
        full_at = max(self._full_at.get(key, now), now) + self._interval
        if full_at - now > MINUTE_SECONDS + self._interval / 1000:
            wait = math.ceil(full_at - now - MINUTE_SECONDS)
            return Taken(self.limit, 0, math.ceil(full_at - self._interval - now), wait)
        self._full_at[key] = full_at
        if len(self._full_at) > MAX_KEYS:
            self._forget(now)
        remaining = int((MINUTE_SECONDS - (full_at - now)) / self._interval + 0.001)
        return Taken(self.limit, remaining, math.ceil(full_at - now))

    def _forget(self, now: float) -> None:
        self._full_at = {key: at for key, at in self._full_at.items() if at > now}


class RateLimits:
    """The limits per minute of RATE_LIMITS: per principal (or per address without one), for uploads, sign-ins, audio and artwork.

    A player asks for many ranges of a file, and a list for many covers.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._requests = Allowance(100, clock)
        self._uploads = Allowance(20, clock)
        self._sign_ins = Allowance(10, clock)
        self._files = Allowance(600, clock)

    def take(self, request: Request, did: str | None) -> None:
        """Count a request of `did`, or of the address without one; raises RateLimitedError."""
        path = request.url.path
        if path in FREE:
            return
        key = did if did is not None else address_of(request)
        if path in SIGN_IN:
            self._count(request, self._sign_ins, address_of(request))
        elif path.startswith(BYTES):
            self._count(request, self._files, key)
        elif _is_upload(request):
            self._count(request, self._uploads, key)
        else:
            self._count(request, self._requests, key)

    @staticmethod
    def _count(request: Request, allowance: Allowance, key: str) -> None:
        taken = allowance.take(key)
        request.state.rate_limit = taken
        if taken.retry_after is not None:
            raise RateLimitedError(taken.retry_after)


class RateLimitHeaders:
    """ASGI middleware that adds RateLimit headers (draft-ietf-httpapi-ratelimit-headers, in seconds)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:

        async def send_with_headers(message: Message) -> None:
            taken = scope.get("state", {}).get("rate_limit")
            if message["type"] == "http.response.start" and taken is not None:
                headers = MutableHeaders(scope=message)
                headers["RateLimit-Limit"] = str(taken.limit)
                headers["RateLimit-Remaining"] = str(taken.remaining)
                headers["RateLimit-Reset"] = str(taken.reset)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def address_of(request: Request) -> str:
    """Return the caller's IP address; for IPv6 its /64 network, which one caller has to itself."""
    host = request.client.host if request.client is not None else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(IPv6Address(int(address) >> 64 << 64))
    return host


def _is_upload(request: Request) -> bool:
    path = request.url.path
    return (request.method, path) == ("POST", "/tracks") or (
        request.method == "PUT" and path.endswith("/audio")
    )
