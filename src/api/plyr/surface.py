"""All routes under `/plyr`, those with a word in the place of an id first; what the peer has and this service has not is refused."""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import APIRouter, Depends, Response

from api.auth.authentication import optional_caller
from api.errors import NotOfferedError
from api.middleware.error_rewriting import PREFIX
from api.plyr.routers import (
    artists,
    audio,
    edits,
    records,
    revisions,
    search,
    tracks,
    uploads,
)

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
NOT_OFFERED: Final = {
    "likes": ("/tracks/liked", "/tracks/{track_id}/like", "/tracks/{track_id}/likes"),
    "playlists": ("/lists", "/lists/{rest:path}"),
    "comments": ("/tracks/{track_id}/comments", "/tracks/comments/{rest:path}"),
    "queue": ("/queue", "/queue/{rest:path}"),
    "album pages": ("/albums", "/albums/{rest:path}"),
    "counts of plays": ("/tracks/{track_id}/play",),
    "counts of shares": ("/tracks/{track_id}/share", "/tracks/{track_id}/shares"),
    "statistics": ("/stats",),
    "several artists at once": ("/artists/batch",),
    "preferences": ("/preferences", "/preferences/{rest:path}", "/config"),
    "saving to the PDS in bulk": ("/pds-save/{rest:path}", "/migration/migrate"),
}
"""What it is, and its paths under `/plyr`."""

not_offered: Final = APIRouter(
    prefix=PREFIX, include_in_schema=False, dependencies=[Depends(optional_caller)]
)


def _refusing(what: str) -> Callable[[], Coroutine[Any, Any, Response]]:
    async def refuse() -> Response:
        raise NotOfferedError(what)

    return refuse


for _what, _paths in NOT_OFFERED.items():
    for _path in _paths:
        not_offered.add_api_route(_path, _refusing(_what), methods=list(METHODS))


ROUTERS: Final = (
    not_offered,
    tracks.router,
    tracks.read_one,
    search.router,
    artists.router,
    audio.router,
    uploads.router,
    edits.router,
    revisions.router,
    records.router,
)
