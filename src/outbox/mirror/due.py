"""When the relay may process targets, lanes and hosts: conditions and times as SQL.

A lane is due at the latest of `due_at` (there is work), `debounced_until` (more edits may follow), `not_before` (backoff)
and `paced_until`: nothing, not even a manual retry, is sent before the time that the PDS named; what can wait has
`backfill_at` and `backfill_after` instead.
"""

from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import Grouping
from sqlalchemy.sql.functions import FunctionElement

from eventstore.sql.schema import UtcDateTime, partial_index
from outbox.mirror.states import TargetState
from outbox.mirror.tables import (
    CONCERNS_RELAY,
    HAS_BACKFILL,
    HAS_LIVE_WORK,
    NEVER_LITERAL,
    PAST_LITERAL,
    host,
    lane,
    target,
)
from outbox.mirror.targets import DELETE


class latest_of(FunctionElement[datetime]):  # noqa: N801 - reads as the function that it is
    """The latest of some times: `max` in SQLite, `greatest` in PostgreSQL."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(latest_of)
def _greatest(element: latest_of, compiler: SQLCompiler, **options: Any) -> str:
    name = "max" if compiler.dialect.name == "sqlite" else "greatest"
    return f"{name}({compiler.process(element.clauses, **options)})"


def lane_due_at() -> sa.ColumnElement[datetime]:
    """Return when a lane may be claimed for live work, by its own columns."""
    return latest_of(lane.due_at, lane.debounced_until, lane.not_before, lane.paced_until)


def lane_backfill_at() -> sa.ColumnElement[datetime]:
    """Return when a lane may be claimed for backfill, by its own columns: at its host's `backfill_after` at the earliest."""
    return latest_of(lane.backfill_at, lane.backfill_after, lane.not_before, lane.paced_until)


def host_open_at() -> sa.ColumnElement[datetime]:
    """Return when anything may be sent to a host that is not paused."""
    return latest_of(host.retry_at, host.paced_until)


_REJECTED, _HELD, DELETE_LITERAL = (
    sa.literal_column(f"'{name}'", sa.Text) for name in (TargetState.REJECTED, TargetState.HELD, DELETE)
)


def is_open() -> sa.ColumnElement[bool]:
    """Whether a target has something that the relay can send."""
    return sa.and_(
        target.desired_gen > target.acked_gen,
        sa.or_(target.state != _REJECTED, target.failed_gen < target.desired_gen),
        sa.or_(
            sa.and_(  # the new record is confirmed, and no other client changed the former one
                target.former,
                target.cleared_gen >= target.desired_gen,
                sa.or_(target.state != _HELD, target.failed_gen < target.desired_gen),
            ),
            # the owner's delete is sent even if another client changed the record
            sa.and_(~target.former, target.desired_op == DELETE_LITERAL),
            sa.and_(~target.former, target.state != _HELD, ~target.detached),
        ),
    )


def target_due_at() -> sa.ColumnElement[datetime]:
    """Return when the relay may process a target.

    A newer generation does not wait for the failures of an older one; where nothing is to be sent, it is due for
    verification at `look_at`.
    """
    failed = target.failed_gen == target.desired_gen
    return sa.case((~is_open(), target.look_at), (failed, target.not_before), else_=PAST_LITERAL)


LIVE, VERIFY, BACKFILL = (sa.literal_column(str(number), sa.Integer) for number in range(3))
"""Classes of work, the most urgent first."""
CLASS: Final[sa.ColumnElement[int]] = sa.case((target.backfill, BACKFILL), (~is_open(), VERIFY), else_=LIVE)
_FAILURES: Final = sa.case(
    (target.failed_gen == target.desired_gen, target.attempts),
    else_=sa.literal_column("0"),
)
"""How often the newest generation failed: a record that always fails goes behind its siblings."""
ORDER: Final = (CLASS, _FAILURES, target.desired_op != DELETE_LITERAL, target.desired_gen)

COMES_DUE: Final = target_due_at() < NEVER_LITERAL
"""True for targets that are due now or at a known time: the condition of the index that is in their order."""
# PostgreSQL wants brackets around an expression
_live_at, _backfill_at, _target_at = map(Grouping, (lane_due_at(), lane_backfill_at(), target_due_at()))
_order = map(Grouping, ORDER[:-1])
partial_index("ix_mirror_lane_live", lane.host, _live_at, lane.did, where=HAS_LIVE_WORK)
partial_index("ix_mirror_lane_backfill", lane.host, _backfill_at, lane.did, where=HAS_BACKFILL)
partial_index("ix_mirror_target_next", target.did, *_order, target.desired_gen, where=COMES_DUE)
partial_index("ix_mirror_target_due", target.did, target.backfill, _target_at, where=CONCERNS_RELAY)
