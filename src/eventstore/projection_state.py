"""Compares the version of the code that made the rows of the projections with the version of this process."""

from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy import Connection, Table, exists, select

from eventstore.append import upsert
from eventstore.errors import OutdatedProjectionError
from eventstore.prepared import Prepared
from eventstore.projection import Projection
from eventstore.schema import projection_state

_ALL: Final = select(projection_state.c.name, projection_state.c.fingerprint)
FINGERPRINTS: Final = Prepared(lambda _: _ALL)


def require_current(
    connection: Connection, projections: Sequence[Projection], log: Table, read: Iterable[tuple[str, str]]
) -> None:
    """Raise OutdatedProjectionError where another version of the code made rows.

    `read` are FINGERPRINTS, read under the append lock, so no rebuild can interfere.
    """
    made_by = dict(read)
    if any(projection.name not in made_by for projection in projections):
        _mark_current(connection, [p for p in projections if p.name not in made_by], log)
        made_by = _fingerprints(connection)
    for projection in projections:
        if made_by.get(projection.name) != projection.fingerprint:
            raise OutdatedProjectionError(projection.name)


def outdated(connection: Connection, projections: Sequence[Projection], log: Table) -> str | None:
    """Name a projection for which a unit would be refused now; without the lock, the answer may be out of date at once."""
    return next(iter(all_outdated(connection, projections, log)), None)


def all_outdated(connection: Connection, projections: Sequence[Projection], log: Table) -> Sequence[str]:
    """Name all of them; an empty log has nothing to project."""
    made_by = _fingerprints(connection)
    names = [each.name for each in projections if made_by.get(each.name) != each.fingerprint]
    return names if names and _has_events(connection, log) else ()


def _has_events(connection: Connection, log: Table) -> bool:
    return bool(connection.scalar(select(exists(select(log.c.position)))))


def _fingerprints(connection: Connection) -> dict[str, str]:
    return dict(FINGERPRINTS.start(connection, {}).all())


def _mark_current(connection: Connection, projections: Sequence[Projection], log: Table) -> None:
    """Mark projections as current while the log is empty. With events, a projection without a row was never built."""
    if _has_events(connection, log):
        return
    for projection in projections:
        row = {"name": projection.name, "fingerprint": projection.fingerprint}
        connection.execute(upsert(connection, projection_state).on_conflict_do_nothing(), row)
