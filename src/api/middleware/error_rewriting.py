"""Replaces the bodies of errors in JSON, wherever beneath they were made; every other response is passed on as it comes."""

import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Send

Rewrite = Callable[[int, MutableHeaders, dict[str, Any]], Awaitable[bytes]]
"""Returns the new body from status and body of an error, and may change its headers; the length is set afterwards."""


class ErrorRewriting:
    """Sends a response on; of an error in JSON, once its body is complete, what `rewrite` makes of it."""

    def __init__(self, send: Send, rewrite: Rewrite) -> None:
        self._send: Final = send
        self._rewrite: Final = rewrite
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
                headers = MutableHeaders(scope=self._start)
                body = await self._rewrite(self._start["status"], headers, json.loads(self._body))
                headers["Content-Length"] = str(len(body))
                await self._send(self._start)
                await self._send({"type": "http.response.body", "body": body})


def _is_error(start: Message) -> bool:
    is_json = MutableHeaders(scope=start).get("content-type") == "application/json"
    return start["status"] >= HTTPStatus.BAD_REQUEST and is_json


PREFIX: Final = "/plyr"


def is_plyr(path: str) -> bool:
    """Whether the path is one of the surface under `/plyr`."""
    return path.startswith(f"{PREFIX}/")


def path_behind(path: str) -> str:
    """Return the path of our own that a path stands for, so that each rule about paths is written once."""
    return path.removeprefix(PREFIX).rstrip("/") or "/" if is_plyr(path) else path
