"""Who did it, through what, in which request."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Envelope:
    """What an event does not say itself: it stands beside every event that one unit of work appends."""

    actor: str
    via: str
    request_id: str
