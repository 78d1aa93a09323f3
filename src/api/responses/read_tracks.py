"""Reads tracks for responses: read model, mirror and handles, in one snapshot."""

from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy import Connection, bindparam, func, select

from aggregates.track import Track
from api.responses.track import TrackBody, track_body
from application.errors import TrackNotFoundError
from identity.accounts.accounts import account
from identity.resolution.identifiers import INVALID_HANDLE
from outbox.record.record import RecordUrls
from outbox.views.status import Mirror, mirrors
from projections.history import history
from projections.track_queries import track_by_id
from projections.track_view import TrackView

BRINGS_BLOB: Final = tuple(
    event.__name__
    for event in (
        Track.Adopted,
        Track.BlobMigrated,
        Track.SupportGateRemoved,
        Track.Undeleted,
        Track.RecordRestored,
    )
)
"""The events that put the blob into a record."""
HANDLES: Final = select(account.c.did, account.c.handle).where(
    account.c.did.in_(bindparam("dids", expanding=True))
)


def track_bodies(connection: Connection, views: Sequence[TrackView], urls: RecordUrls) -> list[TrackBody]:
    """Return the tracks' bodies, in their order."""
    ids = [view.track_id for view in views]
    mirror_of = mirrors(connection, ids)
    handles = _handles(connection, {view.did for view in views})
    on_pds = _on_pds(connection, views, mirror_of)
    return [
        track_body(
            view,
            mirror_of[view.track_id],
            handle=handles.get(view.did, INVALID_HANDLE),
            on_pds=view.track_id in on_pds,
            urls=urls,
        )
        for view in views
    ]


def one_track(connection: Connection, track_id: int, urls: RecordUrls) -> TrackBody:
    """Return one track's body, even of a deleted one; raises TrackNotFoundError."""
    view = track_by_id(connection, track_id)
    if view is None:
        raise TrackNotFoundError
    return track_bodies(connection, [view], urls)[0]


def mirror_of(connection: Connection, track_id: int) -> Mirror:
    """Return a track's mirror."""
    return mirrors(connection, [track_id])[track_id]


def _handles(connection: Connection, dids: Iterable[str]) -> dict[str, str]:
    rows = connection.execute(HANDLES, {"dids": list(dids)})
    return {row.did: row.handle for row in rows}


def _on_pds(connection: Connection, views: Sequence[TrackView], mirror_of: dict[int, Mirror]) -> set[int]:
    """Return the tracks whose acknowledged record names the blob."""
    wanted = [view.track_id for view in views if may_be_on_pds(view)]
    if not wanted:
        return set()
    since = connection.execute(
        select(history.c.track_id, func.max(history.c.position).label("position"))
        .where(history.c.track_id.in_(wanted), history.c.type.in_(BRINGS_BLOB))
        .group_by(history.c.track_id)
    )
    return {row.track_id for row in since if mirror_of[row.track_id].acked_generation >= row.position}


def may_be_on_pds(view: TrackView) -> bool:
    """Whether a record of this state names the blob."""
    return (
        view.blob is not None
        and view.support_gate is None
        and view.deleted_at is None
        and view.record_missing_since is None
    )
