"""The track that a path under `/plyr` names."""

from typing import Annotated

from fastapi import Depends

from api.auth.authentication import ServicesDep
from api.requests.path_params import NO_TRACK, TrackId
from eventstore.streams.track_ids import track_id_of


def track_behind(track_id: TrackId, services: ServicesDep) -> int:
    """Return our id of the track that the peer's clients know by this number."""
    with services.database.read() as connection:
        found = track_id_of(connection, track_id)
    return NO_TRACK if found is None else found


PeerTrackId = Annotated[int, Depends(track_behind)]
"""In place of `TrackId`, in the routes under `/plyr`."""
