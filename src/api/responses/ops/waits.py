"""What keeps records from their PDSes, and since when: until a person acts, until they are tried again, or for the relay alone."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, Connection, and_, func, select

from api.responses.ops.deliveries import BEGAN_WITH
from outbox.mirror.due import is_open
from outbox.mirror.states import LaneState, MirrorState, TargetState
from outbox.mirror.tables import IS_TROUBLED, mirror_target
from outbox.views.overview import CLASS
from outbox.views.status import STATE, TARGETS_AT_WORK
from projections.history import history

target: Final = mirror_target.c
NEEDED: Final[Mapping[str, ColumnElement[bool]]] = {
    MirrorState.HELD: target.state == TargetState.HELD,
    MirrorState.DETACHED: target.detached,
}
"""What these states need at least: cheaper to ask of very many targets that fail than the whole state."""


class WaitRow(BaseModel):
    """Records that wait for a person or, where `state` is pending, that failed and are tried again."""

    state: str
    reason: str | None = Field(description="of parked records: why their lanes are sent nothing")
    records: int
    accounts: int
    since: datetime | None = Field(description="since when the first of them waits")


def wait_rows(connection: Connection, unfinished: Sequence[Any]) -> list[WaitRow]:
    """Return those of the rows of `unfinished_by_reason` that do not just wait for their turn."""
    found: list[WaitRow] = []
    for row in unfinished:
        state, reason, since = row.mirror_state, row.mirror_reason, row.since
        records, accounts = row.records, row.accounts
        if state == MirrorState.PENDING:
            records, accounts, since = row.failing, row.failing_accounts, row.failing_since
        elif state in BEGAN_WITH:
            since = _noticed_at(connection, state)
        if records and reason != LaneState.STALE:  # the relay looks for such an account by itself
            found.append(WaitRow(state=state, reason=reason, records=records, accounts=accounts, since=since))
    return found


def _noticed_at(connection: Connection, state: str) -> datetime | None:
    """Return when the first change by another client was noticed that keeps a record in this state."""
    newest = (
        select(func.max(history.c.at).label("at"))
        .select_from(TARGETS_AT_WORK)
        .join(history, and_(history.c.track_id == target.subject_id, history.c.kind == target.kind))
        .where(IS_TROUBLED, NEEDED[state], STATE.in_((state,)), history.c.type == BEGAN_WITH[state])
        .group_by(target.subject_id, target.kind)
        .subquery()
    )
    at: datetime | None = connection.scalar(select(func.min(newest.c.at)))
    return at


def oldest_pending(connection: Connection) -> dict[str, datetime]:
    """Return the time of the oldest change that waits only for the relay, by class of work."""
    rows = connection.execute(
        select(CLASS.label("work"), func.min(history.c.at))
        .select_from(TARGETS_AT_WORK)
        .join(history, and_(history.c.track_id == target.subject_id, history.c.kind == target.kind))
        .where(
            is_open(),
            STATE == MirrorState.PENDING,
            history.c.touches_record,
            history.c.position > target.acked_gen,
        )
        .group_by("work")
    )
    return dict(rows.all())
