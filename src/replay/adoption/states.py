"""The states of an account's adoption: derived from its row in `adoption`, and shown."""

from typing import Any, Final

from sqlalchemy import Row

from eventstore.states import State, Transition


class AdoptionState(State):
    """States of an account's adoption."""

    IDLE = "idle", "none was requested"
    WAITING = "waiting", "waits for a worker, or for the next attempt"
    RUNNING = "running", "a worker holds the lease"
    DONE = "done", "every record was adopted, known before, or refused"
    FAILED = "failed", "it cannot succeed, or the last attempt failed"


UNFINISHED: Final = frozenset({AdoptionState.WAITING, AdoptionState.RUNNING})

_REQUESTED: Final = "the owner or an operator requests an adoption"
_DELETED: Final = "the owner requests the deletion of the account"

TRANSITIONS: Final = (
    Transition(before=AdoptionState.IDLE, after=AdoptionState.WAITING, by=_REQUESTED),
    Transition(before=AdoptionState.DONE, after=AdoptionState.WAITING, by=_REQUESTED),
    Transition(before=AdoptionState.FAILED, after=AdoptionState.WAITING, by=_REQUESTED),
    Transition(before=AdoptionState.WAITING, after=AdoptionState.RUNNING, by="a worker claims it"),
    Transition(
        before=AdoptionState.RUNNING,
        after=AdoptionState.RUNNING,
        by="another worker claims it after the lease has expired",
    ),
    Transition(before=AdoptionState.RUNNING, after=AdoptionState.DONE, by="the worker finishes"),
    Transition(
        before=AdoptionState.RUNNING,
        after=AdoptionState.WAITING,
        by="the worker fails and schedules another attempt, has used up its turn, or its process stops",
    ),
    Transition(
        before=AdoptionState.RUNNING,
        after=AdoptionState.FAILED,
        by="the worker fails for good, or at the last attempt",
    ),
    *(
        Transition(before=before, after=AdoptionState.IDLE, by=_DELETED)
        for before in (
            AdoptionState.WAITING,
            AdoptionState.RUNNING,
            AdoptionState.DONE,
            AdoptionState.FAILED,
        )
    ),
)


def state_of(row: Row[Any] | None) -> AdoptionState:
    """Return the state that a row of `adoption` says; no row is idle."""
    if row is None:
        return AdoptionState.IDLE
    if row.ended_at is not None:
        return AdoptionState.DONE if row.problem is None else AdoptionState.FAILED
    return AdoptionState.WAITING if row.lease_owner is None else AdoptionState.RUNNING
