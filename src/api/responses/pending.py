"""Since when changes wait for the relay."""

from datetime import datetime

from sqlalchemy import Connection, func, select

from outbox.mirror.due import is_open
from outbox.mirror.states import MirrorState
from outbox.mirror.tables import mirror_target
from outbox.views.overview import CLASS
from outbox.views.status import STATE, TARGETS_AT_WORK
from projections.history import history


def oldest_pending(connection: Connection) -> dict[str, datetime]:
    """Return the time of the oldest change that waits only for the relay, by class of work."""
    rows = connection.execute(
        select(CLASS.label("work"), func.min(history.c.at))
        .select_from(TARGETS_AT_WORK)
        .join(history, history.c.track_id == mirror_target.c.track_id)
        .where(
            is_open(),
            STATE == MirrorState.PENDING,
            history.c.touches_record,
            history.c.position > mirror_target.c.acked_gen,
        )
        .group_by("work")
    )
    return dict(rows.all())
