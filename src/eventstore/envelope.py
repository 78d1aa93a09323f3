"""Who caused an event, which way in they took, in which request."""

from dataclasses import dataclass
from enum import StrEnum


class Via(StrEnum):
    """The ways in, as events store them; `token` is followed by a colon and the token's name."""

    BROWSER = "browser"
    TOKEN = "token"  # noqa: S105 - a way in, not a password
    OPERATOR = "operator"
    CLI = "cli"
    RELAY = "relay"
    JOB = "job"

    def named(self, name: str) -> str:
        """Return the way with the name of what took it."""
        return f"{self.value}:{name}"


@dataclass(frozen=True)
class Envelope:
    """Stored beside every event that a unit of work appends: the DID or operator, the way in, the request."""

    actor: str
    via: str
    request_id: str
