"""Events as JSON and back."""

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
    """Plain JSON, with ids, decimals and times; `transcodings` add the values of the domain."""
    transcoder = JSONTranscoder()
    for transcoding in (UUIDAsHex(), DecimalAsStr(), DatetimeAsISO(), *transcodings):
        transcoder.register(transcoding)
    return transcoder


class Codec:
    """Between events and what the log stores of them."""

    def __init__(self, transcodings: Sequence[Transcoding] = ()) -> None:
        self._mapper: Final[Mapper[UUID]] = Mapper(json_transcoder(transcodings))

    def encode(self, event: Event) -> StoredEvent:
        """Its row, with the topic that finds its class again."""
        return self._mapper.to_stored_event(event)

    def decode(self, stored: StoredEvent) -> Event:
        """The event, in today's version of its class."""
        return cast("Event", self._mapper.to_domain_event(stored))
