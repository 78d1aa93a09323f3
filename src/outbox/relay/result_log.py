"""Logs how deliveries ended, and for one that failed what happens next."""

import logging
from collections.abc import Mapping
from typing import Final

from outbox.mirror.lanes import Lane
from outbox.pds.verdict import Kind
from outbox.relay.result import Outcome, Result

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
    facts = {**lane.log_fields, **_fields(result)}
    if result.is_mismatch:
        logger.error("cid_mismatch", extra={**lane.log_fields, **_mismatch_fields(result)})
    if result.outcome is Outcome.FAILED:
        facts["next"] = NEXT[result.verdict.kind]
        logger.warning("not_delivered", extra=facts)
        return
    level = logging.DEBUG if result.outcome in EXPECTED_OUTCOMES else logging.WARNING
    logger.log(level, "settled", extra=facts)


def _mismatch_fields(result: Result) -> dict[str, object]:
    task = result.task
    return {"uri": task.key.uri, "expected": task.request_cid, "returned": result.confirmed_cid}


def _fields(result: Result) -> dict[str, object]:
    task, verdict = result.task, result.verdict
    facts = {"uri": task.key.uri, "generation": task.gen, "outcome": result.outcome.value}
    return {**facts, "kind": verdict.kind.value, "error": verdict.error, "status": verdict.status}
