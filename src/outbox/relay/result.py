"""How a delivery ended: what settle writes down."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

from outbox.mirror.targets import PUT
from outbox.pds.client import Remote
from outbox.pds.verdict import Kind, Verdict
from outbox.relay.delivery_task import Work

OF_ONE_RECORD: Final = frozenset({Kind.REJECTED, Kind.BLOB_MISSING, Kind.BROKEN})


class Outcome(Enum):
    """How the delivery of one target ended."""

    DELIVERED = "delivered"
    CANCELLED = "cancelled"
    HELD = "held"
    MISSING = "missing"
    SETTLING = "settling"
    SEEN = "seen"
    REBASED = "rebased"
    FAILED = "failed"


@dataclass(frozen=True)
class Result:
    """The end of a delivery: settled in the log and the target by settle()."""

    work: Work
    outcome: Outcome
    verdict: Verdict
    attempt_id: int | None = None
    remote: Remote | None = None
    look_at: datetime | None = None
    """When the record is to be read again, for what may have come late."""

    @property
    def confirmed_cid(self) -> str | None:
        """The CID that the PDS says the put made."""
        return self.verdict.cid if self.work.op == PUT else None

    @property
    def is_mismatch(self) -> bool:
        """Whether the PDS took something, but not what it was sent."""
        delivered = self.outcome is Outcome.DELIVERED
        return delivered and self.confirmed_cid not in {None, self.work.request_cid}

    @property
    def ends_turn(self) -> bool:
        """Whether the lane itself has to wait: its other targets would fare no better now."""
        if self.outcome is not Outcome.FAILED:
            return False
        if self.verdict.kind is Kind.AMBIGUOUS:
            return self.verdict.concerns_host
        return self.verdict.kind not in OF_ONE_RECORD
