"""Maps a track's state to its record, for every write path, and back the fields that its owner may take over.

A record is made of the whole state, never of one edit, which would lose fields: a PDS deletes a blob that no record
names.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from aggregates.errors import InvalidFieldError
from aggregates.tracks.track import Track
from aggregates.values import (
    GATE_TYPES,
    BlobRef,
    Feature,
    SupportGate,
    checked_album,
    checked_description,
    checked_features,
    checked_self_labels,
    checked_title,
)
from outbox.record.dag_cbor import Record
from outbox.record.kind import FORMATS, GENERATION, RecordKind, blob_reference, optional_text

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
        return f"{self.base_url}/artwork/{cid}"


def _checked_features(value: Any) -> tuple[Feature, ...]:
    try:
        features = [Feature(each["did"], each.get("handle")) for each in value or ()]
        if all(map(_is_well_formed, features)):
            return checked_features(features)
    except (TypeError, KeyError, AttributeError):
        pass
    raise InvalidFieldError("features", "must be a list of objects with a `did`, and a `handle` if known")


def _is_well_formed(feature: Feature) -> bool:
    return FORMATS["did"](feature.did) and (feature.handle is None or FORMATS["handle"](feature.handle))


def _checked_labels(value: Any) -> tuple[str, ...]:
    try:
        labels = [each["val"] for each in value["values"]] if value is not None else []
        return checked_self_labels(labels)
    except (TypeError, KeyError, AttributeError):
        raise InvalidFieldError("self_labels", "must be a list of labels") from None


ADOPTABLE: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    "title": ("title", lambda value: checked_title(optional_text("title", value) or "")),
    "album": ("album", lambda value: checked_album(optional_text("album", value))),
    "description": ("description", lambda value: checked_description(optional_text("description", value))),
    "features": ("features", _checked_features),
    "labels": ("self_labels", _checked_labels),
}
"""By field of the record that its owner may take over from another client's edit: the track's attribute, and what checks a value.

Texts, features and labels alone: a record never decides who may listen, and no event changes an address, a date or an author.
"""


class TrackRecords(RecordKind):
    aggregate = Track
    lexicon_id = "fm.plyr.track"
    own_fields = OWN_FIELDS
    addresses = ("audioUrl", "imageUrl")
    blob_field = "audioBlob"
    adoptable = ADOPTABLE

    def __init__(
        self, urls: RecordUrls, collection: str | None = None, old_collection: str | None = None
    ) -> None:
        super().__init__(collection, old_collection)
        self._urls = urls

    def record_of(self, state: Track, generation: int) -> Record:
        gate, labels = state.support_gate, [{"val": label} for label in state.self_labels]
        fields: dict[str, Any] = {
            "$type": state.collection,
            "title": state.title,
            "artist": state.artist,
            "audioUrl": self._urls.audio(state),
            "audioBlob": state.blob.ref if state.blob is not None and gate is None else None,
            "fileType": state.audio.file_type,
            "duration": state.audio.duration,
            "album": state.album,
            "description": state.description,
            "features": [_entry(feature) for feature in state.features],
            "imageUrl": self._urls.artwork(state.artwork.cid) if state.artwork else state.image_url,
            "supportGate": {"type": gate.type} if gate is not None else None,
            "labels": {"$type": "com.atproto.label.defs#selfLabels", "values": labels} if labels else None,
            "createdAt": state.created_at,
            GENERATION: generation,
        }
        return {name: value for name, value in fields.items() if value}

    def take_back(self, state: Track, record: Record, *, at: datetime) -> None:
        """Set the blob, which the next write would drop otherwise, and the gate, without which the audio is open."""
        blob = blob_reference(record.get("audioBlob"))
        if blob is not None and blob["ref"]["$link"] == state.audio.cid:
            state.record_blob(BlobRef(state.audio.cid, blob), at=at)
        if record.get("supportGate") and state.support_gate is None:
            state.set_support_gate(SupportGate(GATE_TYPES[0]), at=at)

    def merged(self, desired: Record, observed: Mapping[str, Any] | None) -> Record:
        """Add the observed fields that are not ours, also to featured artists: other clients keep data in them."""
        record = super().merged(desired, observed)
        if observed and "features" in desired and "features" in observed:
            known = {each["did"]: each for each in _features(observed["features"])}
            record["features"] = [
                {**_others(known.get(each["did"], {})), **each} for each in desired["features"]
            ]
        return record

    def own_part(self, record: Mapping[str, Any]) -> Record:
        ours = super().own_part(record)
        listed = ours.get("features")
        if isinstance(listed, list) and len(features := _features(listed)) == len(listed):
            ours["features"] = [
                {name: each[name] for name in OWN_FEATURE_FIELDS if name in each} for each in features
            ]
        return ours


def _entry(feature: Feature) -> Record:
    return {"did": feature.did} | ({"handle": feature.handle} if feature.handle is not None else {})


def _others(entry: Mapping[str, Any]) -> Record:
    return {name: value for name, value in entry.items() if name not in OWN_FEATURE_FIELDS}


def _features(value: Any) -> list[Record]:
    """Return the entries of a list written by any client that name an artist."""
    entries = value if isinstance(value, list) else []
    return [each for each in entries if isinstance(each, dict) and isinstance(each.get("did"), str)]
