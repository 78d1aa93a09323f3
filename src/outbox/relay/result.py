"""The result of a delivery, which settle() stores."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from eventstore.states import State
from outbox.mirror.targets import PUT
from outbox.pds.client import Remote
from outbox.pds.verdict import Kind, Verdict
from outbox.relay.delivery_task import DeliveryTask

KINDS_OF_ONE_RECORD: Final = frozenset({Kind.REJECTED, Kind.BLOB_MISSING, Kind.BROKEN})


class Outcome(State):
    """How the delivery of one target ended; shown in logs and metrics."""

    DELIVERED = "delivered", "the PDS has the generation"
    CANCELLED = "cancelled", "the record was deleted before anything was sent"
    HELD = "held", "another client changed the record: its owner decides"
    MISSING = "missing", "another client deleted the record"
    SETTLING = "settling", "a delete waits until no earlier create can land after it"
    SEEN = "seen", "a verification found nothing to send"
    REBASED = "rebased", "a verification found only other clients' fields changed"
    FAILED = "failed", "the verdict says what to do"


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
    def results(self) -> Sequence["Result"]:
        """The one result, as a batch has several."""
        return (self,)

    @property
    def is_answered(self) -> bool:
        """Whether the PDS answered as it should."""
        return self.outcome not in {Outcome.FAILED, Outcome.CANCELLED}

    @property
    def only_acknowledges(self) -> bool:
        """Whether to settle it means to acknowledge what was sent, and to append no event."""
        was_undecided = self.task.conflict is not None or self.task.detached
        return self.outcome is Outcome.DELIVERED and self.attempt_id is not None and not was_undecided

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
