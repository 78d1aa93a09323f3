"""Results of `mastertape doctor`. Every check runs although others fail, and each result says what to do."""

from collections.abc import Callable, Iterator
from concurrent.futures import wait
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from eventstore.coordination.threads import begun
from eventstore.errors import EventStoreError
from identity.errors import IdentityError
from service.config.settings import SettingsError
from service.observability.expected import first_line
from storage.errors import StorageError


class CheckState(StrEnum):
    """Result of a check."""

    OK = "ok"
    WARN = "warn"  # it works, and the operator should act
    FAIL = "fail"  # it does not work


@dataclass(frozen=True)
class Check:
    """One line of output: the subject, its state, the finding, and what to do."""

    name: str
    state: CheckState
    found: str
    to_do: str = ""


Checks = Iterator[Check]
Examination = Callable[[], Checks]
EXPECTED_ERRORS: Final = (
    SQLAlchemyError,
    EventStoreError,
    IdentityError,
    StorageError,
    SettingsError,
    ValidationError,
    OSError,
    ValueError,
)


EXAMINATION_TIMEOUT_SECONDS: Final = 30.0


def ok(name: str, found: str) -> Check:
    return Check(name, CheckState.OK, found)


def warn(name: str, found: str, to_do: str) -> Check:
    return Check(name, CheckState.WARN, found, to_do)


def fail(name: str, found: str, to_do: str) -> Check:
    return Check(name, CheckState.FAIL, found, to_do)


def utc(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def in_time(examination: Examination) -> Examination:
    """Limit the time of an examination that may hang; its thread is abandoned then."""

    def examine() -> Checks:
        found = begun("examination", lambda: list(examination()))
        wait([found], EXAMINATION_TIMEOUT_SECONDS)
        if not found.done():
            raise TimeoutError(f"does not answer within {EXAMINATION_TIMEOUT_SECONDS:.0f} seconds")
        yield from found.result()

    return examine


def run_check(name: str, examination: Examination, to_do: str) -> Checks:
    """Run a check; an expected error becomes a failed check."""
    try:
        yield from examination()
    except EXPECTED_ERRORS as error:
        yield fail(name, first_line(error), to_do)
