"""The port through which the relay reports what it does; service/observability/metrics.py implements it."""

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from outbox.pds.verdict import Verdict
    from outbox.relay.result import Result


class RelayMetrics(Protocol):
    """An implementation must not wait and must not raise."""

    def attempted(self, op: str, verdict: "Verdict") -> None:
        """Count a write or an upload, by the verdict of its response."""

    def settled(self, result: "Result") -> None:
        """Count a delivery that was settled."""

    def fenced(self) -> None:
        """Count a result that was dropped, since its lease had ended."""


class NoMetrics:
    """Counts nothing."""

    def attempted(self, op: str, verdict: "Verdict") -> None: ...

    def settled(self, result: "Result") -> None: ...

    def fenced(self) -> None: ...


NO_METRICS: Final = NoMetrics()
