"""The result of a delivery, which settle() stores."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

from outbox.mirror.targets import PUT
from outbox.pds.client import Remote
from outbox.pds.verdict import Kind, Verdict
from outbox.relay.delivery_task import DeliveryTask

KINDS_OF_ONE_RECORD: Final = frozenset({Kind.REJECTED, Kind.BLOB_MISSING, Kind.BROKEN})


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
    """How a delivery ended, and what the PDS said and showed."""

    task: DeliveryTask
    outcome: Outcome
    verdict: Verdict
    attempt_id: int | None = None
    remote: Remote | None = None
    verify_at: datetime | None = None
    """When to verify the record again, since a late create may land."""

    @property
    def confirmed_cid(self) -> str | None:
        """The CID that the PDS says the put made."""
        return self.verdict.cid if self.task.op == PUT else None

    @property
    def is_mismatch(self) -> bool:
        """Whether the PDS stored another record than it was sent."""
        delivered = self.outcome is Outcome.DELIVERED
        return delivered and self.confirmed_cid not in {None, self.task.request_cid}

    @property
    def ends_run(self) -> bool:
        """Whether the whole lane has to wait: its other targets would fail alike."""
        if self.outcome is not Outcome.FAILED:
            return False
        if self.verdict.kind is Kind.AMBIGUOUS:
            return self.verdict.concerns_host
        return self.verdict.kind not in KINDS_OF_ONE_RECORD
