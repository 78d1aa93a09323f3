"""Read access to what only a track's owner and operators see."""

from datetime import datetime

from sqlalchemy import Connection

from application.errors import NotOwnerError, TrackNotFoundError
from identity.accounts.credentials import Principal
from projections.tracks.queries import track_by_id
from projections.tracks.view import TrackView


def may_know(caller: Principal | None, owner: str, taken_down_at: datetime | None) -> bool:
    """Whether the caller may know of a track: of one that was taken down, only its owner and operators may."""
    return taken_down_at is None or (caller is not None and (caller.did == owner or caller.operator))


def may_have_bytes(caller: Principal | None, track: TrackView) -> bool:
    """Whether the caller may have bytes of the track at all: those of one that was taken down are for admins only."""
    return track.taken_down_at is None or (caller is not None and caller.admin)


def require_reader(connection: Connection, principal: Principal, track_id: int) -> TrackView:
    """Return the track, even a deleted one, for its owner or an operator.

    Raises NotOwnerError for others, and TrackNotFoundError where the track is deleted or taken down.
    """
    view = track_by_id(connection, track_id)
    if view is not None and (view.did == principal.did or principal.operator):
        return view
    if view is None or view.deleted_at is not None or view.taken_down_at is not None:
        raise TrackNotFoundError
    raise NotOwnerError
