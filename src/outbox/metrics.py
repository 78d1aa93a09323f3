"""The port through which the outbox reports what it does; service/observability/metrics.py implements it."""

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from outbox.pds.verdict import Verdict
    from outbox.relay.read_back import Finding
    from outbox.relay.result import Result


class RelayMetrics(Protocol):
    """Called from the relay: an implementation does not block and never raises."""

    def attempted(self, op: str, verdict: "Verdict") -> None:
        """A write or an upload ended with this verdict."""

    def paced(self, verdict: "Verdict") -> None:
        """An upload was rate-limited; writes are reported by `settled`."""

    def read_back(self, finding: "Finding") -> None:
        """A record was read and compared."""

    def merged(self) -> None:
        """Another client's fields were found in a record, and kept."""

    def settled(self, result: "Result") -> None:
        """A delivery was settled."""

    def lease_lost(self, *, fenced: bool) -> None:
        """A run or an upload outlived its lease; `fenced` if that dropped a result."""

    def uploaded(self, size: int) -> None:
        """A blob of `size` bytes was uploaded."""


class NoMetrics:
    """Counts nothing."""

    def attempted(self, op: str, verdict: "Verdict") -> None:
        """Count nothing."""

    def paced(self, verdict: "Verdict") -> None:
        """Count nothing."""

    def read_back(self, finding: "Finding") -> None:
        """Count nothing."""

    def merged(self) -> None:
        """Count nothing."""

    def settled(self, result: "Result") -> None:
        """Count nothing."""

    def lease_lost(self, *, fenced: bool) -> None:
        """Count nothing."""

    def uploaded(self, size: int) -> None:
        """Count nothing."""


NO_METRICS: Final = NoMetrics()
