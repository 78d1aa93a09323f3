"""What a PDS takes as a track's audio, and what its answer to an upload means."""

from dataclasses import replace
from typing import Any, Final

from aggregates.values import Audio
from outbox.pds.verdict import MAX_MESSAGE_LENGTH, TOO_LARGE, Kind, Verdict, clean
from outbox.record.lexicon import accepts

MOST_BYTES: Final = 104857600
"""The lexicon's limit: a record that names a larger blob would be refused."""
ACCEPTED: Final = ("audio/*", "video/*")
"""The lexicon's types: a PDS tells the type from the container (docs/adr/0017-audio-that-a-pds-calls-video.md)."""
BLOB_TYPE: Final = "blob_type"
"""The PDS takes the audio for something that no record may name as audio."""
TOO_LARGE_REASON: Final = "too_large"
BLOB_MISMATCH: Final = "blob_mismatch"
"""The PDS says that it is done, and names other bytes than ours."""


def refused_unsent(audio: Audio, limit: int | None) -> Verdict | None:
    """Refuse what is larger in bytes than the PDS says that it takes, or than a record may name."""
    most = min(limit or MOST_BYTES, MOST_BYTES)
    if audio.size <= most:
        return None
    return Verdict(Kind.REJECTED, TOO_LARGE_REASON, TOO_LARGE, f"the PDS takes blobs of up to {most} bytes")


def judged(verdict: Verdict, audio: Audio) -> Verdict:
    """Say what the PDS's answer to an upload means for this audio."""
    if verdict.status == TOO_LARGE:
        return Verdict(Kind.REJECTED, TOO_LARGE_REASON, TOO_LARGE, verdict.message)
    if verdict.kind is Kind.DONE and not _is_whole(verdict.body, audio):
        message = clean(f"the PDS stored {verdict.body}", MAX_MESSAGE_LENGTH)
        return replace(verdict, kind=Kind.AMBIGUOUS, error=BLOB_MISMATCH, message=message)
    if verdict.kind is Kind.DONE and not accepts(ACCEPTED, mime := verdict.body["blob"]["mimeType"]):
        message = f"the PDS takes it for {mime}, which a track cannot name as its audio"
        return replace(
            verdict, kind=Kind.REJECTED, error=BLOB_TYPE, message=clean(message, MAX_MESSAGE_LENGTH)
        )
    return verdict


def _is_whole(body: Any, audio: Audio) -> bool:
    """Whether the reference names our bytes: a PDS that stored something else has not stored it."""
    match body:
        case {"blob": {"$type": "blob", "ref": {"$link": str(cid)}, "mimeType": str(), "size": int(size)}}:
            return cid == audio.cid and size == audio.size
    return False
