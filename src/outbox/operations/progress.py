"""How far an operator's action has come since: what of it still waits, and what failed again."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from eventstore.database import Database
from outbox.mirror.states import TargetState
from outbox.mirror.tables import HAS_WORK, SUBJECT, blob_job, mirror_lane, mirror_target
from outbox.operations.operators import Action, Selector, known, of_selector, parked
from outbox.views.failures import HAS_FAILED_AGAIN, MAY_BE_FAILING, UPLOAD_WAITS_FOR_ATTEMPT
from outbox.views.status import IS_ACKED, IS_OF_NEWEST, TARGETS_AT_WORK

lane: Final = mirror_lane.c
target: Final = mirror_target.c

_RECORD_WAITS: Final = and_(
    MAY_BE_FAILING,
    ~IS_ACKED,
    ~IS_OF_NEWEST,
    target.state.in_((TargetState.REJECTED, TargetState.BACKOFF)),
)
WAITS_FOR_ATTEMPT: Final = or_(_RECORD_WAITS, UPLOAD_WAITS_FOR_ATTEMPT)
"""Whether a record or its upload failed, and was not tried since a redrive or a newer edit."""


@dataclass(frozen=True)
class Progress:
    """Accounts, or records of a redrive: those that wait, and those that a request failed for."""

    waiting: int
    failing: int = 0


def progress_of(database: Database, action: Action, selector: Selector) -> Progress:
    """Count what of an action on these accounts is not done yet.

    Of a redrive, those are its records without an answer, and those that failed again; of a resume or a retry, the accounts that
    still have something to send; of a pause, those whose current record is still being sent; of a probe, those not found yet.
    """
    with database.read() as connection:
        selector = known(connection, selector)
        match action:
            case Action.REDRIVE:
                of_cause = _of_cause(selector)
                return Progress(
                    _records(connection, WAITS_FOR_ATTEMPT, *of_cause, *of_selector(selector)),
                    _records(connection, HAS_FAILED_AGAIN, *of_cause, *of_selector(selector)),
                )
            case Action.RESUME | Action.RETRY:
                return Progress(_lanes(connection, HAS_WORK, *of_selector(selector)))
            case Action.PAUSE:
                in_flight = lane.lease_until > database.now(connection)
                return Progress(_lanes(connection, in_flight, *of_selector(selector)))
            case Action.PROBE:
                return Progress(_lanes(connection, *parked(selector)))


def _of_cause(selector: Selector) -> list[ColumnElement[bool]]:
    """Records keep the cause of their last failure until they succeed or fail for another."""
    if selector.cause is None:
        return []
    return [or_(target.cause == selector.cause, blob_job.c.cause == selector.cause)]


def _records(connection: Connection, *conditions: ColumnElement[bool]) -> int:
    found = select(func.count(SUBJECT.distinct())).select_from(TARGETS_AT_WORK)
    return connection.scalar(found.where(*conditions)) or 0


def _lanes(connection: Connection, *conditions: ColumnElement[bool]) -> int:
    return connection.scalar(select(func.count()).select_from(mirror_lane).where(*conditions)) or 0
