"""Limits requests per minute, by principal or by address, for all processes of one `mastertape serve` together: in memory that they share."""

import fcntl
import math
import mmap
import struct
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from starlette.requests import Request
from starlette.types import Scope

from api.errors import RateLimitedError

MINUTE_SECONDS: Final = 60.0
BUCKETS: Final = 16_384
SLOTS_PER_BUCKET: Final = 8
_SLOT: Final = struct.Struct("=Qd")  # the key's hash, and when its allowance is full again
_BUCKET: Final = struct.Struct("=" + "Qd" * SLOTS_PER_BUCKET)
MEMORY_BYTES: Final = BUCKETS * _BUCKET.size


def memory_file() -> int:
    """Return the descriptor of an empty table that other processes can inherit."""
    with tempfile.TemporaryFile() as file:
        file.truncate(MEMORY_BYTES)
        return fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, 0)


@dataclass(frozen=True)
class Taken:
    """The state of an allowance after a request; `reset` and `retry_after` are in seconds."""

    limit: int
    remaining: int
    reset: int
    retry_after: int | None = None


class FullTimes:
    """When each key's allowance is full again, in seconds of a clock that all processes of the machine share."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._memory = mmap.mmap(file, MEMORY_BYTES)

    @contextmanager
    def of(self, key: str) -> Generator[tuple[float, Callable[[float], None]]]:
        """Lock the key's time against other processes during the block, and yield it, 0 of a new key, with what changes it.

        A new key of a full bucket takes the place of the allowance that is full again first.
        """
        number = int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big") or 1
        begin = number % BUCKETS * _BUCKET.size
        fcntl.lockf(self._file, fcntl.LOCK_EX, _BUCKET.size, begin)
        try:
            values = _BUCKET.unpack_from(self._memory, begin)
            numbers, times = values[::2], values[1::2]
            known = number in numbers
            at = numbers.index(number) if known else times.index(min(times))
            place = begin + at * _SLOT.size
            yield times[at] if known else 0.0, partial(_SLOT.pack_into, self._memory, place, number)
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, _BUCKET.size, begin)


class Allowance:
    """`limit` requests per minute for each key; `name` keeps its keys apart from those of other allowances."""

    def __init__(
        self, name: str, limit: int, times: FullTimes, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limit: Final = limit
        self._name = name
        self._times = times
        self._clock = clock
        self._interval = MINUTE_SECONDS / limit

    def take(self, key: str) -> Taken:
        """Take one request from the allowance; a refused request takes nothing."""
        now = self._clock()
        with self._times.of(f"{self._name} {key}") as (known, keep):
            full_at = max(known, now) + self._interval
            if full_at - now > MINUTE_SECONDS + self._interval / 1000:
                wait = math.ceil(full_at - now - MINUTE_SECONDS)
                return Taken(self.limit, 0, math.ceil(full_at - self._interval - now), wait)
            keep(full_at)
        remaining = int((MINUTE_SECONDS - (full_at - now)) / self._interval + 0.001)
        return Taken(self.limit, remaining, math.ceil(full_at - now))


PREFIX: Final = "/plyr"


def is_plyr(path: str) -> bool:
    return path.startswith(f"{PREFIX}/")


def path_behind(path: str) -> str:
    """Return the path of our own that a path stands for, so that each rule about paths is written once."""
    return path.removeprefix(PREFIX).rstrip("/") or "/" if is_plyr(path) else path


BYTES: Final = ("/audio/", "/artwork/", "/me/exports/")
FREE_FILES: Final = "/static/"
FREE: Final = frozenset({"/healthz", "/readyz", "/metrics", "/oauth-client-metadata.json", "/jwks.json"})
SIGN_IN: Final = frozenset({"/auth/app-password", "/auth/login", "/auth/callback"})


LARGE: Final = frozenset({("POST", "/tracks"), ("PATCH", "/tracks")})
"""What counts as an upload: a file, and edits of up to a hundred tracks."""


class RateLimits:
    """The limits per minute of RATE_LIMITS: per principal (or per address without one), for uploads, sign-ins, audio, artwork and exports.

    A player asks for many ranges of a file, and a list for many covers.
    """

    def __init__(self, memory: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """Count in `memory`, a file of `memory_file` that processes share; without it, in one of this process."""
        times = FullTimes(memory_file() if memory is None else memory)
        self._requests = Allowance("requests", 100, times, clock)
        self._uploads = Allowance("uploads", 20, times, clock)
        self._sign_ins = Allowance("sign-ins", 10, times, clock)
        self._files = Allowance("files", 600, times, clock)

    def take(self, request: Request, did: str | None) -> None:
        """Count a request of `did`, or of the address without one; raises RateLimitedError."""
        path = path_behind(request.url.path)
        if path in FREE or path.startswith(FREE_FILES):
            return
        key = did if did is not None else address_of(request)
        if path in SIGN_IN:
            self._count(request, self._sign_ins, address_of(request))
        elif path.startswith(BYTES):
            self._count(request, self._files, key)
        elif (request.method, path) in LARGE or (request.method == "PUT" and path.endswith("/audio")):
            self._count(request, self._uploads, key)
        else:
            self._count(request, self._requests, key)

    def take_upload(self, request: Request, did: str) -> None:
        """Count a request that turned out to bring a file; raises RateLimitedError."""
        self._count(request, self._uploads, did)

    @staticmethod
    def _count(request: Request, allowance: Allowance, key: str) -> None:
        taken = allowance.take(key)
        request.state.rate_limit = taken
        if taken.retry_after is not None:
            raise RateLimitedError(taken.retry_after)


def taken_of(scope: Scope) -> Taken | None:
    """Return what the request was counted against; None if it was not counted."""
    found: Taken | None = scope.get("state", {}).get("rate_limit")
    return found


IPV6_NETWORK_BITS: Final = 64
"""One caller has these addresses to itself."""
IPV6_SITE_BITS: Final = 48
"""What one caller can get without asking twice: what holds a place is counted by it."""


def address_of(request: Request, ipv6_bits: int = IPV6_NETWORK_BITS) -> str:
    """Return the caller's IP address; for IPv6 the network that has its first bits."""
    host = request.client.host if request.client is not None else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(ip_network((address, ipv6_bits), strict=False).network_address)
    return host
