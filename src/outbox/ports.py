"""The ports of the outbox, which service/wiring/bootstrap.py implements."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Protocol

import httpx

BodyFactory = Callable[[], AsyncIterator[bytes]]
"""Makes the body for one attempt: a stream can be read only once."""


class SignInRequiredError(Exception):
    """The account has to sign in again before anything can be written to its PDS."""


class SessionUnavailableError(Exception):
    """The login could not be used now; nothing was sent. `is_ours` if the cause is not the host."""

    def __init__(self, message: str = "", *, is_ours: bool = False) -> None:
        super().__init__(message)
        self.is_ours = is_ours


class DirectoryUnavailableError(Exception):
    """The account's host could not be resolved now."""


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

        Raises SessionUnavailableError if the login is not ready in half of `timeout`, which leaves the PDS the other half;
        SignInRequiredError if the login is for another PDS.
        """


class Directory(Protocol):
    """Resolves accounts by their current DID documents."""

    async def host_of(self, did: str) -> str | None:
        """Return the account's PDS, or None if the account does not exist; raises DirectoryUnavailableError."""


class Addresses(Protocol):
    """Resolves and checks the addresses of WebSocket connections."""

    async def of(self, origin: str) -> str:
        """Return a checked address of this origin, as a host name or IP address; raises when there is none."""


class SigningKeys(Protocol):
    """The keys that sign repos."""

    async def signing_key(self, did: str) -> str:
        """Return the account's key as a did:key; raises DirectoryUnavailableError when it cannot be resolved."""


class AudioSource(Protocol):
    """The stored audio."""

    def read(self, cid: str) -> Iterator[bytes]:
        """Stream the bytes; raises FileNotFoundError when they are not there."""
