"""Encodes events as JSON, and decodes them."""

from collections.abc import Sequence
from typing import Final, cast
from uuid import UUID

from eventsourcing.persistence import (
    DatetimeAsISO,
    DecimalAsStr,
    JSONTranscoder,
    Mapper,
    StoredEvent,
    Transcoding,
    UUIDAsHex,
)

from eventstore.change import Event


def json_transcoder(transcodings: Sequence[Transcoding] = ()) -> JSONTranscoder:
    """Return a transcoder for plain JSON with ids, decimals and times; `transcodings` add the values of the domain."""
    transcoder = JSONTranscoder()
    for transcoding in (UUIDAsHex(), DecimalAsStr(), DatetimeAsISO(), *transcodings):
        transcoder.register(transcoding)
    return transcoder


class Codec:
    """Converts between events and the rows that the log stores of them."""

    def __init__(self, transcodings: Sequence[Transcoding] = ()) -> None:
        self._mapper: Final[Mapper[UUID]] = Mapper(json_transcoder(transcodings))

    def encode(self, event: Event) -> StoredEvent:
        """Return the stored form, whose topic names the event's class."""
        return self._mapper.to_stored_event(event)

    def decode(self, stored: StoredEvent) -> Event:
        """Return the event, upcast to the current version of its class."""
        return cast("Event", self._mapper.to_domain_event(stored))
