"""What one account or address may have under way in one process, so that it cannot use up the threads and connections of all."""

from collections import Counter
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from typing import Final

from fastapi import Request

from api.auth.authentication import SignedIn
from api.errors import RateLimitedError
from api.middleware.rate_limits import address_of

MAX_CONCURRENT_UPLOADS: Final = 4
"""Each holds a file and a connection."""
MAX_EXPORTS_OF_AN_ACCOUNT: Final = 2
MAX_STREAMS_OF_AN_ACCOUNT: Final = 8
MAX_STREAMS: Final = 500
MAX_SIGN_INS_OF_AN_ADDRESS: Final = 8
MAX_SIGN_INS: Final = 150
"""Each has one of the connections of sign-ins at a time, which are more: none waits for its turn of them."""
RETRY_AFTER_SECONDS: Final = 5


class Concurrent:
    """Counts what is under way by account or address; of too much it raises RateLimitedError with the `refusal`."""

    def __init__(self, refusal: str, of_a_key: int, in_all: int | None = None) -> None:
        self._refusal: Final = refusal
        self._of_a_key: Final = of_a_key
        self._in_all: Final = in_all
        self._under_way: Counter[str] = Counter()

    @contextmanager
    def of(self, key: str) -> Generator[None]:
        """Count one for as long as the block."""
        is_full = self._in_all is not None and self._under_way.total() >= self._in_all
        if is_full or self._under_way[key] >= self._of_a_key:
            raise RateLimitedError(RETRY_AFTER_SECONDS, self._refusal)
        self._under_way[key] += 1
        try:
            yield
        finally:
            self._under_way[key] -= 1
            if not self._under_way[key]:
                del self._under_way[key]


def limits() -> dict[str, Concurrent]:
    """Return each by its name in the application's state."""
    return {
        "uploads": Concurrent(
            "The account has reached its limit of concurrent uploads. Nothing was changed; wait until one is done.",
            MAX_CONCURRENT_UPLOADS,
        ),
        "exports": Concurrent(
            "The account has reached its limit of concurrent exports. Wait until one is done.",
            MAX_EXPORTS_OF_AN_ACCOUNT,
        ),
        "streams": Concurrent(
            "The account, or the service, has its limit of open event streams. Close one, or wait until one has ended.",
            MAX_STREAMS_OF_AN_ACCOUNT,
            MAX_STREAMS,
        ),
        "sign_ins": Concurrent(
            "The address, or the service, has its limit of sign-ins under way. No account was signed in; wait until one is done.",
            MAX_SIGN_INS_OF_AN_ADDRESS,
            MAX_SIGN_INS,
        ),
    }


async def sign_in_under_way(request: Request) -> AsyncGenerator[None]:
    """Count a sign-in until it is answered."""
    with request.app.state.sign_ins.of(address_of(request)):
        yield


async def open_stream(request: Request, principal: SignedIn) -> AsyncGenerator[None]:
    """Count an event stream until its response has ended."""
    with request.app.state.streams.of(principal.did):
        yield
