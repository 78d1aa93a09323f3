"""All routes under `/plyr`, those with a word in the place of an id first; what the peer has and this service has not is refused."""

import json
from typing import Final

from fastapi import APIRouter, Depends, Request, Response
from starlette.datastructures import MutableHeaders
from starlette.types import Scope

from api.auth.authentication import optional_caller
from api.errors import NotOfferedError
from api.middleware.rate_limits import PREFIX, is_plyr
from api.plyr import catalogue, likes, reading, writing

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
NOT_OFFERED: Final = {
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

not_offered: Final = APIRouter(**reading.LENIENT, dependencies=[Depends(optional_caller)])


async def refuse(request: Request) -> Response:
    path = request.scope["route"].path.removeprefix(PREFIX)
    raise NotOfferedError(next(what for what, paths in NOT_OFFERED.items() if path in paths))


for _path in (path for paths in NOT_OFFERED.values() for path in paths):
    not_offered.add_api_route(_path, refuse, methods=list(METHODS))


ROUTERS: Final = (
    not_offered,
    likes.router,
    reading.router,
    reading.read_one,
    reading.bytes_router,
    catalogue.router,
    writing.router,
)


WORDS: Final = {
    "not_authenticated": "not authenticated - login required",
    "session_expired": "session_expired",
    "scope_required": "scope_upgrade_required",
    "track_not_found": "track not found",
    "media_not_found": "audio file not found",
    "downloads_off": "the artist has disabled downloads",
    "duplicate_audio": "this artist has a track with exactly this audio",
}
"""The texts that the peer's clients compare, or that would name a track by our id; every other error keeps our message."""
AS_OBJECT: Final = frozenset({"already_has_record", "migration_needed"})
"""The peer's dialog for restoring a record reads fields of these."""


async def error_body(scope: Scope, _status: int, _headers: MutableHeaders, body: bytes) -> bytes:
    """Return the body of an error: under `/plyr` in the peer's shape, else as it is."""
    if not is_plyr(scope["path"]):
        return body
    detail = json.loads(body)["detail"]
    code = detail["error"]
    said = detail if code in AS_OBJECT else WORDS.get(code, detail["message"])
    return json.dumps({"detail": said, "error": code}, separators=(",", ":")).encode()
