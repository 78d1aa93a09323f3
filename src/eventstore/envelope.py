"""Who caused an event, through which channel, in which request."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Envelope:
    """Stored beside every event that a unit of work appends: the DID or operator, the channel (`http`, `cli`, ...), the request."""

    actor: str
    via: str
    request_id: str
