"""The states of a repair, and why a step of its plan is skipped."""

from typing import Final

from eventstore.states import State, Transition


class RepairState(State):
    """States of the repair of an account."""

    VERIFYING = "verifying", "a worker compares the repo with the log, or is about to"
    PLANNED = "planned", "the plan waits for an admin's decision; nothing was changed"
    APPLYING = "applying", "a worker applies the plan, or is about to"
    DONE = (
        "done",
        "each step was applied or skipped, or there was nothing to do; the relay sends what was applied",
    )
    CANCELLED = "cancelled", "an admin ended it; what was applied before stays"
    FAILED = "failed", "it cannot go on, or the last attempt failed; what was applied before stays"


class SkipReason(State):
    """Why a step of a plan is not applied."""

    CHANGED_HERE = (
        "changed_here",
        "the track has changed since the plan: the relay sends its newest state anyway",
    )
    CHANGED_ON_PDS = "changed_on_pds", "the PDS holds another record than the plan saw"
    NOT_COMPARED = "not_compared", "it changed or could not be read while the records were compared"
    AGREES = "agrees", "the PDS holds what the log says again"


WORKED_ON: Final = (RepairState.VERIFYING, RepairState.APPLYING)
"""The states in which a worker has something to do."""
UNFINISHED: Final = (*WORKED_ON, RepairState.PLANNED)

_CANCELS: Final = "an admin cancels it"
_FAILS: Final = "the worker fails for good, or at the last attempt"

TRANSITIONS: Final = (
    Transition(None, RepairState.VERIFYING, "an admin starts a repair"),
    Transition(
        RepairState.VERIFYING, RepairState.PLANNED, "the worker, or `mastertape apply`, stores the plan"
    ),
    Transition(RepairState.VERIFYING, RepairState.DONE, "the worker finds nothing to apply"),
    Transition(RepairState.PLANNED, RepairState.APPLYING, "an admin applies the plan, by its digest"),
    Transition(RepairState.APPLYING, RepairState.DONE, "the worker has applied or skipped the last step"),
    *(Transition(before, RepairState.CANCELLED, _CANCELS) for before in UNFINISHED),
    *(Transition(before, RepairState.FAILED, _FAILS) for before in WORKED_ON),
    *(
        Transition(before, None, "the job prunes repairs that ended long ago")
        for before in (RepairState.DONE, RepairState.CANCELLED, RepairState.FAILED)
    ),
)
