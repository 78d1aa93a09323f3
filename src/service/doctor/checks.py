"""`mastertape doctor`: one look at everything that a service stands on, each line with what to do about it.

Every check is made although others fail: with the database away the store is looked at all the same.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from eventstore.errors import EventStoreError
from identity.errors import IdentityError
from service.config.settings import SettingsError
from storage.errors import StorageError


class State(StrEnum):
    """How something stands."""

    OK = "ok"
    WARN = "warn"  # it works, and somebody should know
    FAIL = "fail"  # it does not work


@dataclass(frozen=True)
class Check:
    """One line of the doctor's: what was looked at, what was found, and what to do."""

    name: str
    state: State
    found: str
    to_do: str = ""


Checks = Iterator[Check]
Examination = Callable[[], Checks]
TROUBLE: Final = (
    SQLAlchemyError,
    EventStoreError,
    IdentityError,
    StorageError,
    SettingsError,
    ValidationError,
    OSError,
    ValueError,
)


def ok(name: str, found: str) -> Check:
    """Say that something is well."""
    return Check(name, State.OK, found)


def warn(name: str, found: str, to_do: str) -> Check:
    """Say that somebody should look."""
    return Check(name, State.WARN, found, to_do)


def fail(name: str, found: str, to_do: str) -> Check:
    """Say that something does not work."""
    return Check(name, State.FAIL, found, to_do)


def examined(name: str, examination: Examination, to_do: str) -> Checks:
    """Make the checks; what breaks under them is a line too."""
    try:
        yield from examination()
    except TROUBLE as error:
        yield fail(name, _first_line(error), to_do)


def _first_line(error: Exception) -> str:
    text = str(getattr(error, "orig", None) or error).strip() or type(error).__name__
    return text.splitlines()[0]
