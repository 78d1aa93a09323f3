"""Whether the rows of the projections were made by the code that is about to write more of them."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, Table, exists, select

from eventstore.append import upsert
from eventstore.errors import OutdatedProjectionError
from eventstore.projection import Projection
from eventstore.schema import projection_state

_ALL: Final = select(projection_state.c.name, projection_state.c.fingerprint)


def require_current(connection: Connection, projections: Sequence[Projection], log: Table) -> None:
    """Refuse to write with code of another version; called under the append lock, so a rebuild can't interfere."""
    if not projections:
        return
    made_by = _fingerprints(connection)
    if any(projection.name not in made_by for projection in projections):
        _begin(connection, [p for p in projections if p.name not in made_by], log)
        made_by = _fingerprints(connection)
    for projection in projections:
        if made_by.get(projection.name) != projection.fingerprint:
            raise OutdatedProjectionError(projection.name)


def outdated(connection: Connection, projections: Sequence[Projection], log: Table) -> str | None:
    """Name a projection for which a unit would be refused; asked without the lock, so it may be another way at once."""
    made_by = _fingerprints(connection)
    for projection in projections:
        if made_by.get(projection.name) != projection.fingerprint:
            return projection.name if _has_events(connection, log) else None
    return None


def _has_events(connection: Connection, log: Table) -> bool:
    return bool(connection.scalar(select(exists(select(log.c.position)))))


def _fingerprints(connection: Connection) -> dict[str, str]:
    rows = connection.execute(_ALL)
    return {row.name: row.fingerprint for row in rows}


def _begin(connection: Connection, projections: Sequence[Projection], log: Table) -> None:
    """An empty log needs no rebuild. With events in it, a projection without a row was never built."""
    if _has_events(connection, log):
        return
    for projection in projections:
        row = {"name": projection.name, "fingerprint": projection.fingerprint}
        connection.execute(upsert(connection, projection_state).on_conflict_do_nothing(), row)
