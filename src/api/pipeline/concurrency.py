"""What one account may have under way in one process, so that it cannot use up the threads and connections of all."""

from collections import Counter
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from typing import Annotated, Final

from fastapi import Depends, Request

from api.auth.authentication import SignedIn
from api.errors import RateLimitedError, TooManyStreamsError, TooManyUploadsError
from eventstore.coordination.turns import Turns

MAX_CONCURRENT_UPLOADS: Final = 4
MAX_STREAMS_OF_AN_ACCOUNT: Final = 8
MAX_STREAMS: Final = 500
RETRY_AFTER_SECONDS: Final = 5


class Concurrent:
    """Counts what is under way by account; what is too much raises `refusal`."""

    def __init__(
        self, refusal: type[RateLimitedError], of_an_account: int, in_all: int | None = None
    ) -> None:
        self._refusal: Final = refusal
        self._of_an_account: Final = of_an_account
        self._in_all: Final = in_all
        self._under_way: Counter[str] = Counter()

    @contextmanager
    def of(self, did: str) -> Generator[None]:
        """Count one for as long as the block."""
        is_full = self._in_all is not None and self._under_way.total() >= self._in_all
        if is_full or self._under_way[did] >= self._of_an_account:
            raise self._refusal(retry_after=RETRY_AFTER_SECONDS)
        self._under_way[did] += 1
        try:
            yield
        finally:
            self._under_way[did] -= 1
            if not self._under_way[did]:
                del self._under_way[did]


def concurrent_uploads() -> Concurrent:
    """Each holds a file and a connection."""
    return Concurrent(TooManyUploadsError, MAX_CONCURRENT_UPLOADS)


def concurrent_streams() -> Concurrent:
    return Concurrent(TooManyStreamsError, MAX_STREAMS_OF_AN_ACCOUNT, MAX_STREAMS)


async def open_stream(request: Request, principal: SignedIn) -> AsyncGenerator[None]:
    """Count an event stream until its response has ended."""
    with request.app.state.streams.of(principal.did):
        yield


async def account_turns(request: Request) -> Turns:
    turns: Turns = request.app.state.turns
    return turns


AccountTurns = Annotated[Turns, Depends(account_turns)]
"""One command of an account at a time. Other processes meet at the append lock."""
