"""The port through which a delivery joins the trace of the commit that it delivers; service/observability/otel.py implements it."""

from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from outbox.relay.delivery_task import DeliveryTask
    from outbox.relay.result import Result

trace_parent: Final[ContextVar[str | None]] = ContextVar("trace_parent", default=None)
"""The W3C `traceparent` of what is committed now. Its targets keep it for their delivery, whichever process that is in."""


class Tracing(Protocol):
    def delivery(self, task: "DeliveryTask") -> "AbstractContextManager[Callable[[Result], None]]":
        """Trace a delivery during the block, which reports its result."""


class NoTracing:
    """Traces nothing."""

    def delivery(self, task: "DeliveryTask") -> "AbstractContextManager[Callable[[Result], None]]":  # noqa: ARG002
        return _NOTHING


def _ignore(_result: "Result") -> None: ...


_NOTHING: Final = nullcontext(_ignore)
NO_TRACING: Final = NoTracing()
