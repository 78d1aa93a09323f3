"""What one account, or one address, may have under way in one process, so that it cannot use up what all share."""

from collections import Counter
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from typing import Annotated, Final

from fastapi import Depends, Request

from api.auth.authentication import SignedIn
from api.errors import RateLimitedError, TooManySignInsError, TooManyStreamsError, TooManyUploadsError
from api.middleware.rate_limits import address_of
from eventstore.coordination.turns import Turns

MAX_CONCURRENT_UPLOADS: Final = 4
MAX_STREAMS_OF_AN_ACCOUNT: Final = 8
MAX_STREAMS: Final = 500
MAX_SIGN_INS_OF_AN_ADDRESS: Final = 8
MAX_SIGN_INS: Final = 150
"""Each has one of the connections of sign-ins at a time, which are more: none waits for its turn of them."""
RETRY_AFTER_SECONDS: Final = 5


class Concurrent:
    """Counts what is under way by account or address; what is too much raises `refusal`."""

    def __init__(self, refusal: type[RateLimitedError], of_a_key: int, in_all: int | None = None) -> None:
        self._refusal: Final = refusal
        self._of_a_key: Final = of_a_key
        self._in_all: Final = in_all
        self._under_way: Counter[str] = Counter()

    @contextmanager
    def of(self, key: str) -> Generator[None]:
        """Count one for as long as the block."""
        is_full = self._in_all is not None and self._under_way.total() >= self._in_all
        if is_full or self._under_way[key] >= self._of_a_key:
            raise self._refusal(retry_after=RETRY_AFTER_SECONDS)
        self._under_way[key] += 1
        try:
            yield
        finally:
            self._under_way[key] -= 1
            if not self._under_way[key]:
                del self._under_way[key]


def concurrent_uploads() -> Concurrent:
    """Each holds a file and a connection."""
    return Concurrent(TooManyUploadsError, MAX_CONCURRENT_UPLOADS)


def concurrent_streams() -> Concurrent:
    return Concurrent(TooManyStreamsError, MAX_STREAMS_OF_AN_ACCOUNT, MAX_STREAMS)


def concurrent_sign_ins() -> Concurrent:
    """Each holds a connection to a host that its person has typed."""
    return Concurrent(TooManySignInsError, MAX_SIGN_INS_OF_AN_ADDRESS, MAX_SIGN_INS)


async def sign_in_under_way(request: Request) -> AsyncGenerator[None]:
    """Count a sign-in until it is answered."""
    with request.app.state.sign_ins.of(address_of(request)):
        yield


async def open_stream(request: Request, principal: SignedIn) -> AsyncGenerator[None]:
    """Count an event stream until its response has ended."""
    with request.app.state.streams.of(principal.did):
        yield


async def account_turns(request: Request) -> Turns:
    turns: Turns = request.app.state.turns
    return turns


AccountTurns = Annotated[Turns, Depends(account_turns)]
"""One command of an account at a time. Other processes meet at the append lock."""
