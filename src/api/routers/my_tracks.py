"""The caller's own tracks, with those that no public list shows."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.auth.authentication import ServicesDep, SignedIn
from api.openapi import errors
from api.requests.known_names import StrictRoute
from api.requests.parameters import MAX_ID, Cursor, OneOf, PageLength, cursor_of, page_length
from api.responses.my_tracks import MyTracksBody, MyTracksFilter, my_tracks
from outbox.mirror.states import MirrorState

router = APIRouter(tags=["tracks"], route_class=StrictRoute)

STATES = tuple(MirrorState)


class MyListing(BaseModel):
    """A filter of one's own tracks."""

    mirror: list[Annotated[str, OneOf(STATES)]] = Field(
        [], description="with their mirror in one of these states"
    )
    id: list[int] = Field([], description="with these ids", max_length=100)
    q: str | None = Field(None, description="with these words in title, artist or album")
    deleted: bool = Field(default=False, description="the deleted ones instead of the live ones")
    cursor: Cursor = None
    limit: PageLength = None


@router.get("/me/tracks", responses=errors(400, 401, 422, 503))
def list_my_tracks(
    principal: SignedIn, services: ServicesDep, wanted: Annotated[MyListing, Query()]
) -> MyTracksBody:
    """List the caller's own tracks, newest first, each with how its audio's copy on the PDS is; unlisted ones too."""
    which = MyTracksFilter(
        principal.did,
        wanted.mirror,
        [each for each in wanted.id if 0 < each <= MAX_ID],
        wanted.q,
        is_deleted=wanted.deleted,
    )
    cursor, limit = cursor_of(wanted.cursor), page_length(wanted.limit)
    with services.database.read() as connection:
        return my_tracks(connection, which, services.urls, cursor=cursor, limit=limit)
