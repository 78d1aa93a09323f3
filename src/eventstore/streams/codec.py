"""Converts between events and the rows that the log stores of them: the library's mapper, with a faster decoder."""

from dataclasses import asdict
from typing import Any, Final, cast
from uuid import UUID

import msgspec
from eventsourcing.persistence import (
    DatetimeAsISO,
    DecimalAsStr,
    JSONTranscoder,
    Mapper,
    StoredEvent,
    Transcoding,
    UUIDAsHex,
)

from aggregates.values import Artwork, Audio, BlobRef, Feature, SupportGate
from eventstore.change import Event


class ValueAsDict(Transcoding):
    """Encodes a value class as an object of its fields: {"_type_": "audio", "_data_": {...}}."""

    def __init__(self, value_type: type, name: str) -> None:
        self.type = value_type
        self.name = name

    def encode(self, obj: Any) -> dict[str, Any]:
        return asdict(obj)

    def decode(self, data: dict[str, Any]) -> Any:
        return self.type(**data)


TRANSCODINGS: Final = (
    UUIDAsHex(),
    DecimalAsStr(),
    DatetimeAsISO(),
    ValueAsDict(Audio, "audio"),
    ValueAsDict(Artwork, "artwork"),
    ValueAsDict(Feature, "feature"),
    ValueAsDict(SupportGate, "support_gate"),
    ValueAsDict(BlobRef, "blob_ref"),
)
"""Their names are stored data."""


class EventTranscoder(JSONTranscoder):
    """Plain JSON with ids, decimals, times and the values of the domain."""

    def __init__(self) -> None:
        super().__init__()
        for transcoding in TRANSCODINGS:
            self.register(transcoding)
        self._parse: Final = msgspec.json.Decoder().decode

    def decode(self, data: bytes) -> Any:
        try:
            parsed = self._parse(data)
        except msgspec.DecodeError:  # the library reads more, such as NaN
            return super().decode(data)
        return self._restored(parsed)

    def _restored(self, value: Any) -> Any:
        if value.__class__ is dict:
            for name, inner in value.items():
                if inner.__class__ in _CONTAINERS:
                    value[name] = self._restored(inner)
            return self._decode_obj(value)
        for index, inner in enumerate(value):
            if inner.__class__ in _CONTAINERS:
                value[index] = self._restored(inner)
        return value


_CONTAINERS: Final = frozenset({dict, list})


class Codec:
    """Events and their stored form."""

    def __init__(self) -> None:
        self._mapper: Final[Mapper[UUID]] = Mapper(EventTranscoder())

    def encode(self, event: Event) -> StoredEvent:
        """Return the stored form, whose topic names the event's class."""
        return self._mapper.to_stored_event(event)

    def decode(self, stored: StoredEvent) -> Event:
        """Return the event, upcast to the current version of its class."""
        return cast("Event", self._mapper.to_domain_event(stored))
