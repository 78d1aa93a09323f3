"""Have the relay try a record again at once, and its account's lane with it."""

from application.authorization import OnTrack, owner_of, require_owned, require_version
from eventstore.unit_of_work import UnitOfWork
from outbox.mirror.requeue import retry


def retry_mirror(unit: UnitOfWork, command: OnTrack) -> int:
    """Make it due; a deleted track's record, too, may wait for this."""
    view = require_owned(unit.connection, owner_of(unit), command.track_id, deleted_too=True)
    require_version(view.visible_version, command.versions)
    retry(unit.connection, owner_of(unit), command.track_id, unit.now)
    return command.track_id
