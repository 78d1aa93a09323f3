"""Retries a record and its account's lane at once."""

from application.authorization import OnTrack, owner_of, require_owned, require_version
from eventstore.unit_of_work import UnitOfWork
from outbox.mirror.requeue import retry


def retry_mirror(unit: UnitOfWork, command: OnTrack) -> int:
    """Make the record due, even a deleted track's."""
    view = require_owned(unit.connection, owner_of(unit), command.track_id, deleted_too=True)
    require_version(view.visible_version, command.versions)
    retry(unit.connection, owner_of(unit), command.track_id, unit.now)
    return command.track_id
