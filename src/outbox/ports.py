"""What the outbox needs from others; service/bootstrap.py wires it."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Protocol

import httpx

BodyFactory = Callable[[], AsyncIterator[bytes]]
"""Makes the body anew for every attempt: a stream that was used once is empty the second time."""


class SignInRequiredError(Exception):
    """The account has to sign in again before anything can be written to its PDS."""


class SessionUnavailableError(Exception):
    """The login could not be renewed just now; nothing was sent."""


class Sessions(Protocol):
    """Requests in the name of an account, with its token renewed when needed."""

    async def request(
        self,
        did: str,
        method: str,
        nsid: str,
        *,
        params: dict[str, Any] | None = None,
        json: Any = None,
        body: BodyFactory | None = None,
        headers: dict[str, str] | None = None,
        timeout: float = 30.0,
    ) -> httpx.Response:
        """Send to the account's PDS; raises the two errors above and httpx's."""


class AudioSource(Protocol):
    """The bytes that a blob is made from."""

    def read(self, cid: str) -> Iterator[bytes]:
        """Stream the bytes; raises FileNotFoundError when they are not there."""
