"""Reads tracks for the peer's clients."""

from fastapi import APIRouter, Response

from api.auth.authentication import OptionalCaller, ServicesDep
from api.json_response import AsciiJsonResponse
from api.middleware.plyr_paths import PREFIX
from api.plyr.path_params import PeerTrackId
from api.plyr.track import track_responses
from api.requests.known_names import StrictRoute
from application.errors import TrackNotFoundError
from application.read_access import may_know
from projections.track_queries import track_by_id

router = APIRouter(prefix=PREFIX, route_class=StrictRoute, include_in_schema=False)


@router.get("/tracks/{track_id}")
def read_track(track_id: PeerTrackId, caller: OptionalCaller, services: ServicesDep) -> Response:
    """Read a track."""
    with services.database.read() as connection:
        view = track_by_id(connection, track_id)
        if view is None or view.deleted_at is not None or not may_know(caller, view.did, view.taken_down_at):
            raise TrackNotFoundError
        [track] = track_responses(connection, [view], services.urls, caller)
    return AsciiJsonResponse(track.model_dump(mode="json"))
