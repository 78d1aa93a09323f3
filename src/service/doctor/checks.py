"""Results of `mastertape doctor`. Every check runs although others fail, and each result says what to do."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import wait
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from eventstore.coordination.threads import begun
from service.observability.expected import first_line


class CheckState(StrEnum):
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
Advice = tuple[CheckState, object, str]
"""What to do under a condition, and how bad that is."""
EXAMINATION_TIMEOUT_SECONDS: Final = 30.0


def check(name: str, found: str, *advice: Advice) -> Check:
    """Return the result: the first advice whose condition holds, or that all is well."""
    for state, applies, to_do in advice:
        if applies:
            return Check(name, state, found, to_do)
    return Check(name, CheckState.OK, found)


def utc(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def in_time(examination: Callable[[], Iterable[Check]]) -> Iterable[Check]:
    """Run an examination that may hang; its thread is abandoned then."""
    found = begun("examination", lambda: list(examination()))
    wait([found], EXAMINATION_TIMEOUT_SECONDS)
    if not found.done():
        raise TimeoutError(f"does not answer within {EXAMINATION_TIMEOUT_SECONDS:.0f} seconds")
    return found.result()


def run_check(name: str, to_do: str, examination: Callable[[], Iterable[Check]]) -> Checks:
    """Run a check; an error becomes a failed check."""
    try:
        yield from examination()
    except Exception as error:  # noqa: BLE001 - the others are still to run
        yield Check(name, CheckState.FAIL, first_line(error), to_do)
