"""Who may read what only owners see: its owner, and admins."""

from datetime import datetime

from sqlalchemy import Connection

from application.errors import NotOwnerError, TrackNotFoundError
from identity.accounts.credentials import Principal
from projections.track_queries import track_by_id
from projections.track_view import TrackView


def may_know(caller: Principal | None, owner: str, taken_down_at: datetime | None) -> bool:
    """Whether a track is there for the caller at all: one that was taken down is so for its owner and admins only."""
    return taken_down_at is None or (caller is not None and (caller.did == owner or caller.admin))


def require_reader(connection: Connection, principal: Principal, track_id: int) -> TrackView:
    """Find the track for its owner or an admin, a deleted one too; to others a deleted one is not there."""
    view = track_by_id(connection, track_id)
    if view is not None and (view.did == principal.did or principal.admin):
        return view
    if view is None or view.deleted_at is not None or view.taken_down_at is not None:
        raise TrackNotFoundError
    raise NotOwnerError
