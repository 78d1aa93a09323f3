"""Ports of the outbox, which service/wiring/bootstrap.py connects to their implementations: logins, directories, audio, metrics."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Protocol

import httpx

if TYPE_CHECKING:
    from outbox.pds.verdict import Verdict
    from outbox.relay.delivery_task import DeliveryTask
    from outbox.relay.result import Result

BodyFactory = Callable[[], AsyncIterator[bytes]]
"""Makes a new body for every attempt, since a stream can be read only once."""


class DirectoryUnavailableError(Exception):
    """No directory could say where the account is."""


class Sessions(Protocol):
    """Requests with an account's login, which is refreshed when needed."""

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
        """Send a request to the account's PDS, `host`.

        Raises SignInRequiredError, also if the login is at another PDS; SessionUnavailableError, also if the login is
        not ready within half of `timeout`; and httpx's errors.
        """


class Directory(Protocol):
    """Resolves accounts to their hosts by their current DID documents."""

    async def host_of(self, did: str) -> str | None:
        """Return the account's PDS, or None if the account does not exist; raises DirectoryUnavailableError."""


class Addresses(Protocol):
    """Addresses for connections that our HTTP client does not make."""

    async def of(self, origin: str) -> str:
        """Return an allowed address of this origin, as a host name or IP address; raises when there is none."""


class AudioSource(Protocol):
    """The audio in our storage."""

    def read(self, cid: str) -> Iterator[bytes]:
        """Stream the bytes; raises FileNotFoundError when they are not there."""


class RelayMetrics:
    """Counts nothing. An implementation must not wait and must not raise."""

    def attempted(self, op: str, verdict: "Verdict") -> None:
        """Count a write or an upload, by the verdict of its response."""

    def settled(self, result: "Result") -> None:
        """Count a delivery that was settled."""

    def fenced(self) -> None:
        """Count a result that was dropped, since its lease had ended."""


NO_METRICS: Final = RelayMetrics()


class Tracing:
    """Traces nothing."""

    def delivery(self, task: "DeliveryTask") -> AbstractContextManager[Callable[["Result"], None]]:  # noqa: ARG002
        """Trace a delivery during the block, which reports its result."""
        return nullcontext(lambda _result: None)


trace_parent: Final[ContextVar[str | None]] = ContextVar("trace_parent", default=None)
"""The W3C `traceparent` of what is committed now. Its targets keep it for their delivery, whichever process that is in."""
