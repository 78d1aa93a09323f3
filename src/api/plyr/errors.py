"""The shape of errors under `/plyr`: `detail` is a text, which the peer's clients show or compare; `error` is our code."""

import json
from typing import Any, Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send

from api.middleware.error_rewriting import ErrorRewriting, is_plyr

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


class PlyrErrors:
    """ASGI middleware: gives the body of every error under `/plyr` the peer's shape, also where another middleware refused."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and is_plyr(scope["path"]):
            send = ErrorRewriting(send, _rewritten)
        await self._app(scope, receive, send)


async def _rewritten(_status: int, _headers: MutableHeaders, body: dict[str, Any]) -> bytes:
    return json.dumps(as_peer_words(body), separators=(",", ":")).encode()


def as_peer_words(body: dict[str, Any]) -> dict[str, Any]:
    """Return the body of an error of ours as the peer's clients read it."""
    detail = body["detail"]
    code = detail["error"]
    return {"detail": detail if code in AS_OBJECT else WORDS.get(code, detail["message"]), "error": code}
