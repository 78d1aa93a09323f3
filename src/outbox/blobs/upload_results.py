"""Which audio may be uploaded, and what the PDS's answer to an upload means."""

from dataclasses import replace
from typing import Any, Final

from aggregates.values import Audio
from eventstore.untrusted import clean
from outbox.pds.verdict import MAX_MESSAGE_LENGTH, TOO_LARGE, Kind, Verdict
from outbox.record.kind import blob_reference
from outbox.record.lexicon import accepts

MAX_BLOB_BYTES: Final = 104857600
"""The lexicon's limit: a record that names a larger blob would be refused."""
ACCEPTED: Final = ("audio/*", "video/*")
"""The lexicon's types: a PDS derives the type from the container (docs/adr/0017-audio-that-a-pds-calls-video.md)."""
BLOB_TYPE: Final = "blob_type"
"""The PDS gave the audio a type that no record may name."""
TOO_LARGE_REASON: Final = "too_large"
BLOB_MISMATCH: Final = "blob_mismatch"
"""The PDS answered with a success that names other bytes, or is no blob reference."""


def refused_unsent(audio: Audio, limit: int | None) -> Verdict | None:
    """Refuse audio of more bytes than the PDS's limit, or than a record may name; None if it may be sent."""
    limit_bytes = min(limit or MAX_BLOB_BYTES, MAX_BLOB_BYTES)
    if audio.size <= limit_bytes:
        return None
    return Verdict(
        Kind.REJECTED, TOO_LARGE_REASON, TOO_LARGE, f"the PDS takes blobs of up to {limit_bytes} bytes"
    )


def judged(verdict: Verdict, audio: Audio) -> Verdict:
    """Judge the answer to an upload of this audio."""
    if verdict.status == TOO_LARGE and verdict.kind is Kind.REJECTED:
        return Verdict(Kind.REJECTED, TOO_LARGE_REASON, TOO_LARGE, verdict.message)
    if verdict.kind is Kind.DONE and not _is_whole(verdict.body, audio):
        message = clean(f"the PDS stored {verdict.body}", MAX_MESSAGE_LENGTH)
        return replace(verdict, kind=Kind.AMBIGUOUS, error=BLOB_MISMATCH, message=message)
    if verdict.kind is Kind.DONE and not accepts(ACCEPTED, mime := verdict.body["blob"]["mimeType"]):
        message = f"the PDS takes it for {mime}, which a record cannot name as its audio"
        return replace(
            verdict, kind=Kind.REJECTED, error=BLOB_TYPE, message=clean(message, MAX_MESSAGE_LENGTH)
        )
    return verdict


def _is_whole(body: Any, audio: Audio) -> bool:
    """Whether the reference is one, and names our bytes."""
    blob = blob_reference(body.get("blob"))
    return blob is not None and (blob["ref"]["$link"], blob["size"]) == (audio.cid, audio.size)
