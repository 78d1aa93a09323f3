"""Maps a track's state to its record, for every write path.

A record is made of the whole state, never of one edit, which would lose fields: a PDS deletes a blob that no record
names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aggregates.track import Track
from outbox.record.dag_cbor import Record

GENERATION: Final = "mastertapeGen"
OWN_FIELDS: Final = frozenset({
    "$type",
    "title",
    "artist",
    "audioUrl",
    "audioBlob",
    "fileType",
    "duration",
    "album",
    "description",
    "features",
    "imageUrl",
    "supportGate",
    "labels",
    "createdAt",
    GENERATION,
})  # fmt: skip
ADDRESSES: Final = ("audioUrl", "imageUrl")
OWN_FEATURE_FIELDS: Final = ("did", "handle")


@dataclass(frozen=True)
class RecordUrls:
    """The base URLs of the service and, if there are any, of the public copies of media."""

    base_url: str
    public_url: str | None = None

    def audio(self, track: Track) -> str:
        """Return the URL of the public copy, or of the route that checks the listener's access."""
        name = f"{track.audio.cid}.{track.audio.file_type}"
        if self.public_url is not None and track.support_gate is None:
            return f"{self.public_url}/{name}"
        return f"{self.base_url}/audio/{name}"

    def artwork(self, cid: str) -> str:
        """Return the URL of a cover or thumbnail."""
        return f"{self.base_url}/artwork/{cid}"


def record_for(track: Track, generation: int, urls: RecordUrls) -> Record:
    """Return the record of a live track as of `generation`, a log position; empty fields are absent."""
    gate = track.support_gate
    fields: dict[str, Any] = {
        "$type": track.collection,
        "title": track.title,
        "artist": track.artist,
        "audioUrl": urls.audio(track),
        "audioBlob": track.blob.ref if track.blob is not None and gate is None else None,
        "fileType": track.audio.file_type,
        "duration": track.audio.duration,
        "album": track.album,
        "description": track.description,
        "features": [{"did": feature.did, "handle": feature.handle} for feature in track.features],
        "imageUrl": urls.artwork(track.artwork.cid) if track.artwork is not None else track.image_url,
        "supportGate": {"type": gate.type} if gate is not None else None,
        "labels": _self_labels(track.self_labels),
        "createdAt": track.created_at,
        GENERATION: generation,
    }
    return {name: value for name, value in fields.items() if value}


def merged(desired: Record, observed: Mapping[str, Any] | None) -> Record:
    """Add the observed fields that are not ours, also to featured artists: other clients keep data in them."""
    observed = observed or {}
    foreign = {name: value for name, value in observed.items() if name not in OWN_FIELDS}
    if "features" in desired and "features" in observed:
        known = {each["did"]: each for each in _features(observed["features"])}
        ours = [{**known.get(each["did"], {}), **each} for each in desired["features"]]
        return {**foreign, **desired, "features": ours}
    return {**foreign, **desired}


def own_part(record: Mapping[str, Any]) -> Record:
    """Return our own fields, without the generation, to compare contents."""
    ours = {name: value for name, value in record.items() if name in OWN_FIELDS and name != GENERATION}
    listed = ours.get("features")
    if isinstance(listed, list) and len(features := _features(listed)) == len(listed):
        ours["features"] = [
            {name: each[name] for name in OWN_FEATURE_FIELDS if name in each} for each in features
        ]
    return ours


def _features(value: Any) -> list[Record]:
    """Return the entries of a list written by any client that name an artist."""
    entries = value if isinstance(value, list) else []
    return [each for each in entries if isinstance(each, dict) and isinstance(each.get("did"), str)]


def _self_labels(labels: tuple[str, ...]) -> Record | None:
    if not labels:
        return None
    return {
        "$type": "com.atproto.label.defs#selfLabels",
        "values": [{"val": label} for label in labels],
    }
