"""Who counts what the relay does. service/metrics.py is one that a monitoring system can read."""

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from outbox.pds.verdict import Verdict
    from outbox.relay.delivery import Result
    from outbox.relay.read_back import Finding


class Recorder(Protocol):
    """Is told what happened: it waits for nothing, and never raises."""

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


class Silence:
    """Counts nothing."""

    def attempted(self, op: str, verdict: "Verdict") -> None:
        """Forget it."""

    def paced(self, verdict: "Verdict") -> None:
        """Forget it."""

    def read_back(self, finding: "Finding") -> None:
        """Forget it."""

    def merged(self) -> None:
        """Forget it."""

    def settled(self, result: "Result") -> None:
        """Forget it."""

    def lease_lost(self, *, fenced: bool) -> None:
        """Forget it."""

    def uploaded(self, size: int) -> None:
        """Forget it."""


SILENCE: Final = Silence()
