"""The port through which the relay reports what it does; service/observability/metrics.py counts it for a monitoring system."""

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from outbox.pds.verdict import Verdict
    from outbox.relay.read_back import Finding
    from outbox.relay.result import Result


class RelayMetrics(Protocol):
    """Told what happened: an implementation waits for nothing and never raises."""

    def attempted(self, op: str, verdict: "Verdict") -> None:
        """A write or an upload was answered, or was not."""

    def paced(self, verdict: "Verdict") -> None:
        """An upload was asked to wait. Writes are told of when they are settled."""

    def read_back(self, finding: "Finding") -> None:
        """The record was read, and this is what it means."""

    def merged(self) -> None:
        """Somebody else's fields were found in a record, and kept."""

    def settled(self, result: "Result") -> None:
        """The end of a delivery is in the log."""

    def lease_lost(self, *, fenced: bool) -> None:
        """A flight went on after its lease; fenced if it would have changed something."""

    def uploaded(self, size: int) -> None:
        """So many bytes of a blob reached their PDS."""


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
