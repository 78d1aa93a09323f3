"""The state of a track as plain values: made from the aggregate, stored as a row, and read back equal."""

from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

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
    def from_row(cls, row: Any) -> "TrackView":
        """Return the view that a row of `tracks` stores."""
        gate, blob = row.support_gate, row.blob_ref
        return cls(
            features=tuple(Feature(**feature) for feature in row.features),
            tags=tuple(row.tags),
            self_labels=tuple(row.self_labels),
            support_gate=SupportGate(**gate) if gate is not None else None,
            downloads=Downloads(row.downloads or Downloads.OPEN),
            audio=Audio(*_AUDIO(row)),
            artwork=Artwork(*_ARTWORK(row)) if row.artwork_cid else None,
            blob=BlobRef(**blob) if blob is not None else None,
            **dict(zip(_PLAIN_FIELDS, _PLAIN(row), strict=True)),
        )

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


_AUDIO: Final = attrgetter(*("audio_" + field for field in Audio.__dataclass_fields__))
_ARTWORK: Final = attrgetter(*("artwork_" + field for field in Artwork.__dataclass_fields__))
_NESTED: Final = ("features", "tags", "self_labels", "support_gate", "downloads", "audio", "artwork", "blob")
_PLAIN_FIELDS: Final = tuple(field for field in TrackView.__dataclass_fields__ if field not in _NESTED)
_PLAIN: Final = attrgetter(*_PLAIN_FIELDS)
