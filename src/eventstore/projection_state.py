"""Compares the version of the code that made the rows of the projections with the version of this process."""

from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy import Connection, exists, select

from eventstore.append import upsert
from eventstore.errors import OutdatedProjectionError
from eventstore.prepared import Prepared
from eventstore.projection import Projection
from eventstore.schema import projection_state, stored_event

_ALL: Final = select(projection_state.c.name, projection_state.c.fingerprint)
FINGERPRINTS: Final = Prepared(lambda _: _ALL)


def require_current(
    connection: Connection, projections: Sequence[Projection], read: Iterable[tuple[str, str]]
) -> None:
    """Raise OutdatedProjectionError where another version of the code made rows.

    `read` are FINGERPRINTS, read under the append lock, so no rebuild can interfere. A projection without a row is current
    while the log is empty; with events, it was never built.
    """
    made_by = dict(read)
    missing = [projection for projection in projections if projection.name not in made_by]
    if missing and not has_events(connection):
        for projection in missing:
            row = {"name": projection.name, "fingerprint": projection.fingerprint}
            connection.execute(upsert(connection, projection_state).on_conflict_do_nothing(), row)
        made_by = _fingerprints(connection)
    for projection in projections:
        if made_by.get(projection.name) != projection.fingerprint:
            raise OutdatedProjectionError(projection.name)


def outdated(connection: Connection, projections: Sequence[Projection]) -> Sequence[Projection]:
    """Return the projections for which a unit would be refused now; without the lock, the answer may be out of date at once."""
    made_by = _fingerprints(connection)
    old = [each for each in projections if made_by.get(each.name) != each.fingerprint]
    return old if old and has_events(connection) else ()


def has_events(connection: Connection) -> bool:
    """Whether there is anything to project."""
    return bool(connection.scalar(select(exists(select(stored_event.c.position)))))


def _fingerprints(connection: Connection) -> dict[str, str]:
    return dict(FINGERPRINTS.start(connection, {}).all())
