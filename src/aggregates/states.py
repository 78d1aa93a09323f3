"""States: stored values as enums whose members carry a phrase and an exit."""

from enum import StrEnum
from typing import Self


class State(StrEnum):
    """A state as it is stored, with one phrase for people: `PENDING = "pending", "waits for a worker"`.

    A third text says who ends a state that people see, with routes and commands in backticks.
    """

    phrase: str
    exit: str

    def __new__(cls, value: str, phrase: str = "", exit: str = "") -> Self:  # noqa: A002 - the attribute's name
        """Make a member that equals its stored value; the defaults let `BlobState(value)` look a member up."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.phrase = phrase
        member.exit = exit
        return member
