"""The port through which the relay reports what it does; service/observability/metrics.py implements it."""

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from outbox.pds.verdict import Verdict
    from outbox.relay.read_back import Finding
    from outbox.relay.result import Result


class RelayMetrics(Protocol):
    """An implementation must not wait and must not raise."""

    def attempted(self, op: str, verdict: "Verdict") -> None:
        """Count a write or an upload, by the verdict of its response."""

    def paced(self, verdict: "Verdict") -> None:
        """Count an upload that was rate limited; writes are counted by `settled`."""

    def read_back(self, finding: "Finding") -> None:
        """Count a record that was read, by its finding."""

    def merged(self) -> None:
        """Count a record with fields of another client that were kept."""

    def settled(self, result: "Result") -> None:
        """Count a delivery that was settled."""

    def lease_lost(self, *, fenced: bool) -> None:
        """Count a lane run that went on after its lease; `fenced` if its result had to be dropped."""

    def uploaded(self, size: int) -> None:
        """Count the bytes of an upload that the PDS took."""


class NoMetrics:
    """Counts nothing."""

    def attempted(self, op: str, verdict: "Verdict") -> None: ...

    def paced(self, verdict: "Verdict") -> None: ...

    def read_back(self, finding: "Finding") -> None: ...

    def merged(self) -> None: ...

    def settled(self, result: "Result") -> None: ...

    def lease_lost(self, *, fenced: bool) -> None: ...

    def uploaded(self, size: int) -> None: ...


NO_METRICS: Final = NoMetrics()
