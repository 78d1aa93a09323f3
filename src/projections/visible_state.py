"""The state of a track as history shows it: plain JSON values by field."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from aggregates.track import Track


def visible_state(track: Track | None) -> dict[str, Any]:
    """Return every field whose changes are shown; a track that does not exist yet has none."""
    if track is None:
        return {}
    return {
        "title": track.title,
        "artist": track.artist,
        "album": track.album,
        "features": [asdict(feature) for feature in track.features],
        "tags": list(track.tags),
        "description": track.description,
        "support_gate": asdict(track.support_gate) if track.support_gate else None,
        "unlisted": track.unlisted,
        "self_labels": list(track.self_labels),
        "audio": asdict(track.audio),
        "artwork": asdict(track.artwork) if track.artwork else None,
        "image_url": track.image_url,
        "blob": track.blob.audio_cid if track.blob else None,
        "blob_requested": track.blob_requested,
        "blob_failure": track.blob_failure,
        "record_missing_since": _text(track.record_missing_since),
        "foreign_edit": track.foreign_edit,
        "deleted_at": _text(track.deleted_at),
        "taken_down_at": _text(track.taken_down_at),
        "takedown_reason": track.takedown_reason,
        "created_at": track.created_at,
        "collection": track.collection,
        "rkey": track.rkey,
    }


def difference(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    """List the fields whose values differ, in the order of the state."""
    fields = dict.fromkeys([*after, *before])
    return [
        {"field": field, "before": before.get(field), "after": after.get(field)}
        for field in fields
        if before.get(field) != after.get(field)
    ]


def _text(timestamp: datetime | None) -> str | None:
    return timestamp.isoformat() if timestamp is not None else None
