"""Encodes values in a stored event: {"_type_": "audio", "_data_": {...}}. The names are stored data."""

from dataclasses import asdict
from typing import Any, Final

from eventsourcing.persistence import Transcoding

from aggregates.values import Artwork, Audio, BlobRef, Feature, SupportGate


class ValueAsDict(Transcoding):
    """Encodes a value class as an object of its fields."""

    def __init__(self, value_type: type, name: str) -> None:
        self.type = value_type
        self.name = name

    def encode(self, obj: Any) -> dict[str, Any]:
        """Return the fields, in the order of their declaration."""
        return asdict(obj)

    def decode(self, data: dict[str, Any]) -> Any:
        """Return the value."""
        return self.type(**data)


TRANSCODINGS: Final = (
    ValueAsDict(Audio, "audio"),
    ValueAsDict(Artwork, "artwork"),
    ValueAsDict(Feature, "feature"),
    ValueAsDict(SupportGate, "support_gate"),
    ValueAsDict(BlobRef, "blob_ref"),
)
