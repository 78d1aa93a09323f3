"""What one account or address may have under way in one process, so that it cannot use up the threads and connections of all."""

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Any, Final, TypeVar

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.responses import ContentStream
from starlette.types import Receive, Scope, Send

from api.auth.authentication import SignedIn
from api.errors import RateLimitedError
from api.json_response import Page
from api.middleware.rate_limits import IPV6_SITE_BITS, address_of
from api.requests.parameters import MAX_PAGE_LENGTH, cursor_of
from api.services import Services
from identity.accounts.credentials import Principal
from identity.errors import CredentialExpiredError

MAX_CONCURRENT_UPLOADS: Final = 4
"""Each holds a file and a connection."""
MAX_EXPORTS_OF_AN_ACCOUNT: Final = 2
MAX_STREAMS_OF_AN_ACCOUNT: Final = 8
MAX_STREAMS: Final = 500
MAX_DOWNLOADS_OF_A_CALLER: Final = 64
MAX_DOWNLOADS: Final = 500
"""Each holds up to 1 MB while its client reads slowly."""
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
        "downloads": Concurrent(
            "The account, the address, or the service has its limit of files that are sent at a time. Wait until one is done.",
            MAX_DOWNLOADS_OF_A_CALLER,
            MAX_DOWNLOADS,
        ),
        "sign_ins": Concurrent(
            "The address, or the service, has its limit of sign-ins under way. No account was signed in; wait until one is done.",
            MAX_SIGN_INS_OF_AN_ADDRESS,
            MAX_SIGN_INS,
        ),
    }


async def sign_in_under_way(request: Request) -> AsyncGenerator[None]:
    with request.app.state.sign_ins.of(address_of(request, IPV6_SITE_BITS)):
        yield


async def open_stream(request: Request, principal: SignedIn) -> AsyncGenerator[None]:
    with request.app.state.streams.of(principal.did):
        yield


T = TypeVar("T")

NDJSON: Final = "application/x-ndjson"
CHECK_SECONDS: Final = 5.0
"""An export goes on for so long at most after its token has ended."""


class Counted(StreamingResponse):
    """Counts as one of what `limit` names until its client has all of it; what is too much is refused before it begins."""

    def __init__(
        self,
        limit: str,
        key: str,
        content: ContentStream,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(content, status_code, headers)
        self._limit = limit
        self._key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with getattr(scope["app"].state, self._limit).of(self._key):
            await super().__call__(scope, receive, send)


class Export(Counted):
    media_type = NDJSON

    def __init__(
        self,
        services: Services,
        principal: Principal,
        lines: Iterable[str | bytes],
        file: str | None = None,
    ) -> None:
        headers = None if file is None else {"Content-Disposition": f'attachment; filename="{file}"'}
        usable = while_usable(services, principal, lines)
        super().__init__("exports", principal.did, usable, headers=headers)


def lines(
    read: Callable[[int | None, int], Page[Any]], cursor: int | None, limit: int | None
) -> Iterator[str]:
    """Yield rows as lines of JSON, `limit` or all, from pages that `read` reads: no connection is held while a client reads slowly."""
    left = limit
    while left is None or left > 0:
        page = read(cursor, min(MAX_PAGE_LENGTH, left or MAX_PAGE_LENGTH))
        yield from (row.model_dump_json() + "\n" for row in page.items)
        if page.cursor is None:
            return
        cursor = cursor_of(page.cursor)
        left = None if left is None else left - len(page.items)


def while_usable(services: Services, principal: Principal, parts: Iterable[T]) -> Iterator[T]:
    """Yield the parts for as long as the token is usable; then raises CredentialExpiredError, which breaks the export off."""
    checked_at = monotonic()
    for part in parts:
        if monotonic() - checked_at > CHECK_SECONDS:
            checked_at = monotonic()
            with services.database.read() as connection:
                token = {"did": principal.did, "credential_id": principal.credential_id}
                if not services.credentials.is_usable(connection, **token):
                    raise CredentialExpiredError
        yield part
