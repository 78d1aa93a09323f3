"""The result of a delivery, which settle() stores, and its line in the log: for one that failed, what happens next."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from eventstore.states import State
from outbox.mirror.lanes import Lane
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
    def attempt_ids(self) -> Sequence[int]:
        """The one attempt, if anything was sent."""
        return (self.attempt_id,) if self.attempt_id is not None else ()

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


logger: Final = logging.getLogger("mastertape.outbox")

EXPECTED_OUTCOMES: Final = frozenset({Outcome.DELIVERED, Outcome.CANCELLED, Outcome.SEEN, Outcome.SETTLING})
"""Logged at debug level; all others at warning level."""
NEXT: Final[Mapping[Kind, str]] = {
    Kind.DONE: "read again",
    Kind.READ_BACK: "read and tried again by itself",
    Kind.AMBIGUOUS: "tried again by itself, with growing pauses",
    Kind.NOT_SENT: "tried again by itself, with growing pauses",
    Kind.BLOB_MISSING: "the audio is uploaded first",
    Kind.REJECTED: "waits for another change of the record, or for `mastertape redrive`",
    Kind.PACED: "waits until the limit of the PDS is reset",
    Kind.SIGN_IN: "waits for its owner to sign in",
    Kind.INACTIVE: "waits until the account is active; it is probed",
    Kind.FULL: "waits until the account has room; it is tried again each day",
    Kind.MOVED: "waits until a probe has found the account",
    Kind.BROKEN: "tried again by itself, with growing pauses",
}


def log_result(lane: Lane, result: Result) -> None:
    """Log a settled result."""
    task, verdict = result.task, result.verdict
    facts = {
        **lane.log_fields,
        "uri": task.key.uri,
        "generation": task.gen,
        "outcome": result.outcome.value,
        "kind": verdict.kind.value,
        "error": verdict.error,
        "status": verdict.status,
    }
    if result.is_mismatch:
        mismatch = {"uri": task.key.uri, "expected": task.request_cid, "returned": result.confirmed_cid}
        logger.error("cid_mismatch", extra={**lane.log_fields, **mismatch})
    if result.outcome is Outcome.FAILED:
        facts["next"] = NEXT[result.verdict.kind]
        logger.warning("not_delivered", extra=facts)
        return
    level = logging.DEBUG if result.outcome in EXPECTED_OUTCOMES else logging.WARNING
    logger.log(level, "settled", extra=facts)
