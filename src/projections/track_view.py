"""The state of a track as plain values: made from the aggregate, stored as a row, and read back equal."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping

from aggregates.track import Track
from aggregates.values import Artwork, Audio, BlobRef, Downloads, Feature, SupportGate


@dataclass(frozen=True)
class TrackView:
    """The state of a track, of its latest or an earlier version."""

    track_id: int
    did: str
    title: str
    artist: str
    album: str | None
    features: tuple[Feature, ...]
    tags: tuple[str, ...]
    description: str | None
    support_gate: SupportGate | None
    unlisted: bool
    downloads: Downloads
    self_labels: tuple[str, ...]
    audio: Audio
    artwork: Artwork | None
    image_url: str | None
    adopted: bool
    created_at: str
    updated_at: datetime
    deleted_at: datetime | None
    taken_down_at: datetime | None
    record_missing_since: datetime | None
    blob: BlobRef | None
    blob_requested: bool
    blob_failure: str | None
    collection: str
    rkey: str
    version: int
    visible_version: int

    @classmethod
    def of(cls, track: Track) -> "TrackView":
        return cls(**{field: getattr(track, field) for field in cls.__dataclass_fields__})

    @classmethod
    def from_row(cls, row: RowMapping) -> "TrackView":
        """Return the view that a row of `tracks` stores."""
        values: dict[str, Any] = {field: row[field] for field in cls.__dataclass_fields__ if field in row}
        gate, blob = row["support_gate"], row["blob_ref"]
        values["features"] = tuple(Feature(**feature) for feature in row["features"])
        values["tags"] = tuple(row["tags"])
        values["self_labels"] = tuple(row["self_labels"])
        values["support_gate"] = SupportGate(**gate) if gate is not None else None
        values["downloads"] = Downloads(row["downloads"] or Downloads.OPEN)
        values["audio"] = Audio(**_unprefixed(row, "audio_", Audio))
        values["artwork"] = Artwork(**_unprefixed(row, "artwork_", Artwork)) if row["artwork_cid"] else None
        values["blob"] = BlobRef(**blob) if blob is not None else None
        return cls(**values)

    def as_row(self) -> dict[str, Any]:
        """Return the columns of `tracks`, except for its search text."""
        nested = {"audio", "artwork", "blob"}
        plain = {field: getattr(self, field) for field in self.__dataclass_fields__ if field not in nested}
        return {
            **plain,
            "features": [dict(vars(feature)) for feature in self.features],
            "tags": list(self.tags),
            "self_labels": list(self.self_labels),
            "downloads": self.downloads.value if self.downloads is not Downloads.OPEN else None,
            "support_gate": dict(vars(self.support_gate)) if self.support_gate else None,
            **_prefixed(self.audio, "audio_", Audio),
            **_prefixed(self.artwork, "artwork_", Artwork),
            "blob_ref": dict(vars(self.blob)) if self.blob else None,
        }


def _prefixed(value: Audio | Artwork | None, prefix: str, kind: type[Audio | Artwork]) -> dict[str, Any]:
    return {prefix + field: getattr(value, field, None) for field in kind.__dataclass_fields__}


def _unprefixed(row: RowMapping, prefix: str, kind: type[Audio | Artwork]) -> dict[str, Any]:
    return {field: row[prefix + field] for field in kind.__dataclass_fields__}
