"""Counts the records of all accounts that are not as the log says, by what they wait for, and says since when."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, case, func, select

from outbox.mirror.states import MirrorState
from outbox.mirror.tables import mirror_lane, mirror_target
from outbox.views.failures import CHANGED_AT
from outbox.views.status import (
    FAILING_SINCE,
    IS_ACKED,
    MAY_BE_UNFINISHED,
    REASON,
    STATE,
    TARGETS_AT_WORK,
)

target: Final = mirror_target.c

_IS_PARKED: Final = STATE == MirrorState.PARKED
_SINCE: Final = func.coalesce(
    case((_IS_PARKED, mirror_lane.c.failing_since)), FAILING_SINCE, case((~IS_ACKED, CHANGED_AT))
)
_BY_REASON: Final = (
    select(
        STATE.label("mirror_state"),
        case((_IS_PARKED, REASON)).label("mirror_reason"),
        func.count().label("records"),
        func.count(target.did.distinct()).label("accounts"),
        func.min(_SINCE).label("since"),
        func.count(FAILING_SINCE).label("failing"),
        func.count(case((FAILING_SINCE.is_not(None), target.did)).distinct()).label("failing_accounts"),
        func.min(FAILING_SINCE).label("failing_since"),
    )
    .select_from(TARGETS_AT_WORK)
    .where(MAY_BE_UNFINISHED, STATE != MirrorState.DELIVERED)
    .group_by("mirror_state", "mirror_reason")
)


def unfinished_by_reason(connection: Connection) -> Sequence[Any]:
    """Return for each state, and for parked records the reason too, how many `records` of how many `accounts` are in it.

    `since` is the earliest of them, null where no row says; `failing` counts those that failed and did not succeed since.
    """
    return connection.execute(_BY_REASON).all()
