"""The shape of errors under `/plyr`: `detail` is a text, which the peer's clients show or compare; `error` is our code."""

import json
from http import HTTPStatus
from typing import Any, Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.middleware.plyr_paths import is_plyr

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
            send = _Rewriting(send)
        await self._app(scope, receive, send)


class _Rewriting:
    """Sends a response on; of an error, once its body is complete."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_error(message):
            self._start = message
        elif self._start is None:
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._send_rewritten(self._start)

    async def _send_rewritten(self, start: Message) -> None:
        body = json.dumps(as_peer_words(json.loads(self._body)), separators=(",", ":")).encode()
        MutableHeaders(scope=start)["Content-Length"] = str(len(body))
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})


def as_peer_words(body: dict[str, Any]) -> dict[str, Any]:
    """Return the body of an error of ours as the peer's clients read it."""
    detail = body["detail"]
    code = detail["error"]
    return {"detail": detail if code in AS_OBJECT else WORDS.get(code, detail["message"]), "error": code}


def _is_error(start: Message) -> bool:
    is_json = MutableHeaders(scope=start).get("content-type") == "application/json"
    return start["status"] >= HTTPStatus.BAD_REQUEST and is_json
