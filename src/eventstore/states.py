"""State machines: stored values as enums whose members carry a phrase, and the transitions that the code makes."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class State(StrEnum):
    """A state as it is stored, with one phrase for people: `PENDING = "pending", "waits for a worker"`."""

    phrase: str

    def __new__(cls, value: str, phrase: str = "") -> Self:
        """Make a member that equals its stored value; the default lets `BlobState(value)` look a member up."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.phrase = phrase
        return member


@dataclass(frozen=True)
class Transition:
    """One step of a machine; `before` is None where a row begins, `after` where it ends."""

    before: State | None
    after: State | None
    by: str
    """The actor and what it does: "the relay settles a delivery"."""
