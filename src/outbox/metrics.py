"""The port through which the relay reports what it does; service/observability/metrics.py implements it."""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from outbox.pds.verdict import Verdict
    from outbox.relay.result import Result


class RelayMetrics:
    """Counts nothing. An implementation must not wait and must not raise."""

    def attempted(self, op: str, verdict: "Verdict") -> None:
        """Count a write or an upload, by the verdict of its response."""

    def settled(self, result: "Result") -> None:
        """Count a delivery that was settled."""

    def fenced(self) -> None:
        """Count a result that was dropped, since its lease had ended."""


NO_METRICS: Final = RelayMetrics()
