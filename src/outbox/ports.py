"""What the outbox needs from others; service/wiring/bootstrap.py wires it."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Protocol

import httpx

BodyFactory = Callable[[], AsyncIterator[bytes]]
"""Makes the body anew for every attempt: a stream that was used once is empty the second time."""


class SignInRequiredError(Exception):
    """The account has to sign in again before anything can be written to its PDS."""


class SessionUnavailableError(Exception):
    """The login could not be used just now; nothing was sent. `is_ours` if that says nothing of the host."""

    def __init__(self, message: str = "", *, is_ours: bool = False) -> None:
        super().__init__(message)
        self.is_ours = is_ours


class DirectoryUnavailableError(Exception):
    """Nobody said just now where the account is."""


class Sessions(Protocol):
    """Requests in the name of an account, with its token renewed when needed."""

    async def request(
        self,
        did: str,
        method: str,
        nsid: str,
        *,
        host: str,
        params: dict[str, Any] | None = None,
        json: Any = None,
        body: BodyFactory | None = None,
        headers: dict[str, str] | None = None,
        timeout: float = 30.0,
    ) -> httpx.Response:
        """Send to the account's PDS, if that is `host`; raises the first two errors above and httpx's.

        A login that is not ready in time is one that could not be used: the PDS has half of `timeout` for itself.

        A login at another PDS is none here: nothing is sent, and the account has to sign in.
        """


class Directory(Protocol):
    """Where accounts are, by the documents of their DIDs as they are now."""

    async def host_of(self, did: str) -> str | None:
        """Return the account's PDS, or None when nobody knows the account; raises DirectoryUnavailableError."""


class Addresses(Protocol):
    """Where a host may be connected to, when it is not by a request of ours."""

    async def of(self, origin: str) -> str:
        """Return a checked address of this origin, as a host name or IP address; raises when there is none."""


class SigningKeys(Protocol):
    """Whose signature a repo must bear."""

    async def signing_key(self, did: str) -> str:
        """Return the account's key as a did:key; raises DirectoryUnavailableError when it cannot be resolved."""


class AudioSource(Protocol):
    """The bytes that a blob is made from."""

    def read(self, cid: str) -> Iterator[bytes]:
        """Stream the bytes; raises FileNotFoundError when they are not there."""
