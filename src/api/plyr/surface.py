"""All routes under `/plyr`, those with a word in the place of an id first; what the peer has and this service has not is refused."""

import json
from typing import Final

from fastapi import APIRouter, Depends, Request, Response
from starlette.datastructures import MutableHeaders
from starlette.types import Scope

from api.auth.authentication import optional_caller
from api.errors import NotOfferedError
from api.middleware.rate_limits import PREFIX, is_plyr
from api.plyr import albums, catalogue, comments, likes, playlists, reading, writing

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
NOT_OFFERED: Final = {
    "queue": ("/queue", "/queue/{rest:path}"),
    "albums of all artists": ("/albums", "/albums/{rest:path}"),
    "covers made of covers, and the order of likes": ("/lists/{rest:path}",),
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
    albums.router,
    playlists.router,
    not_offered,
    likes.router,
    comments.router,
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
    "title_taken": "another of your albums already uses that name",
    "already_in_list": "track already in playlist",
    "comment_not_found": "comment not found",
    "comments_off": "comments are disabled for this artist's tracks",
}
"""The texts that the peer's clients compare, or that would name a track by our id; every other error keeps our message."""
OWN_TRACKS: Final = {
    "PATCH ": "edit",
    "DELETE ": "delete",
    "PUT /audio": "replace audio on",
    "POST /restore-record": "restore",
    "POST /migrate-to-pds": "migrate",
    "POST /publishing": "edit",
    "GET /revisions": "view or restore revisions on",
    "POST /revisions/{revision_id}/restore": "view or restore revisions on",
}
"""What an artist can do with own tracks only: how it is asked for, and the peer's words for it."""
OWN_COMMENTS: Final = {"PATCH": "edit", "DELETE": "delete"}
"""The same of a comment, by the method."""
WORDS_BELOW: Final[dict[str, dict[str, str]]] = {
    "/tracks/{track_id}/revisions": {"not_found": "revision not found"},
    "/albums": {
        "list_not_found": "album not found",
        "not_in_list": "track is not in this album",
        "too_many_tracks": "this album has more tracks than are deleted with it at once",
    },
    "/lists/playlists": {
        "not_owner": "not playlist owner",
        "list_not_found": "playlist not found",
        "not_in_list": "track not in playlist",
    },
    "/lists": {"list_not_found": "list not found"},
}
"""More texts, by how the path begins."""
AS_OBJECT: Final = frozenset({"already_has_record", "migration_needed"})
"""The peer's dialog for restoring a record reads fields of these."""


def _words(scope: Scope, code: str) -> str | None:
    path = getattr(scope.get("route"), "path", "").removeprefix(PREFIX)
    own = OWN_TRACKS.get(f"{scope['method']} {path.removeprefix('/tracks/{track_id}')}")
    if code == "not_owner" and own is not None:
        return f"you can only {own} your own tracks"
    if code == "not_owner" and path.startswith("/tracks/comments/"):
        return f"can only {OWN_COMMENTS[scope['method']]} your own comments"
    below = (words[code] for begin, words in WORDS_BELOW.items() if path.startswith(begin) and code in words)
    return next(below, WORDS.get(code))


async def error_body(scope: Scope, _status: int, _headers: MutableHeaders, body: bytes) -> bytes:
    """Return the body of an error: under `/plyr` in the peer's shape, else as it is."""
    if not is_plyr(scope["path"]):
        return body
    detail = json.loads(body)["detail"]
    code = detail["error"]
    said = detail if code in AS_OBJECT else _words(scope, code) or detail["message"]
    return json.dumps({"detail": said, "error": code}, separators=(",", ":")).encode()
