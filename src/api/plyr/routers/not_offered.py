"""Refuses what the peer has and this service has not, so that a client is told instead of finding nothing."""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import APIRouter, Depends, Response

from api.auth.authentication import optional_caller
from api.errors import NotOfferedError
from api.middleware.error_rewriting import PREFIX

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

router: Final = APIRouter(prefix=PREFIX, include_in_schema=False, dependencies=[Depends(optional_caller)])


def _refusing(what: str) -> Callable[[], Coroutine[Any, Any, Response]]:
    async def refuse() -> Response:
        raise NotOfferedError(what)

    return refuse


for _what, _paths in NOT_OFFERED.items():
    for _path in _paths:
        router.add_api_route(_path, _refusing(_what), methods=list(METHODS))
