"""Sends the forms of pages on to the API in this process, with the credentials of the request that a page answers.

So a page changes what its person may change, without a rule of its own.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import Depends, Request
from starlette.datastructures import Headers
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope

CREDENTIALS: Final = (b"cookie", b"authorization")
ORIGIN: Final = (b"origin", b"sec-fetch-site", b"sec-fetch-mode")
JSON: Final = "application/json"
AFTERWARDS: Final[set[asyncio.Future[None]]] = set()
"""What routes still do after their response; asyncio itself holds a task only weakly."""


@dataclass(frozen=True)
class Answer:
    """What the API answered."""

    status: int
    headers: Headers
    content: bytes

    @property
    def is_success(self) -> bool:
        return self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def body(self) -> Any:
        """The JSON of it; None where it has none."""
        return json.loads(self.content) if self.headers.get("content-type", "").startswith(JSON) else None

    @property
    def problem(self) -> Mapping[str, Any]:
        """What the API says of an error: `error`, `message` and the fields of that error."""
        detail: Mapping[str, Any] = self.body["detail"]
        return detail


class RefusedError(Exception):
    """The API refused a form, in a way that its page does not show."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer: Final = answer


class Api:
    """The API, as the person who sent `request`."""

    def __init__(self, request: Request) -> None:
        self._request: Final = request

    async def send(
        self,
        method: str,
        path: str,
        fields: Mapping[str, object] | None = None,
        *,
        version: str | None = None,
        key: str | None = None,
        wait_seconds: int | None = None,
    ) -> Answer:
        """Send a command as JSON, for this version of the track alone, and once under this Idempotency-Key."""
        headers = _conditions(version, key, wait_seconds)
        if fields is not None:
            headers.append((b"content-type", JSON.encode()))
        content = b"" if fields is None else json.dumps(fields).encode()
        headers.append((b"content-length", str(len(content)).encode()))
        # the state is that of this request: what the route allows for the body is not for the page's own
        return await self._send(method, path, headers, _body(content), dict(self._request.scope["state"]))

    async def pass_on(
        self,
        method: str,
        path: str,
        *,
        key: str | None = None,
        wait_seconds: int | None = None,
    ) -> Answer:
        """Send the page's own request body on as it comes, files included."""
        kept = (b"content-type", b"content-length", b"transfer-encoding")
        headers = [(name, value) for name, value in self._request.scope["headers"] if name in kept]
        headers += _conditions(None, key, wait_seconds)
        state = self._request.scope[
            "state"
        ]  # what the route allows for the body must reach the request's limits
        return await self._send(method, path, headers, self._request.receive, state)

    async def _send(
        self,
        method: str,
        path: str,
        headers: Iterable[tuple[bytes, bytes]],
        receive: Receive,
        state: dict[str, Any],
    ) -> Answer:
        asked = self._request.scope
        kept = [(name, value) for name, value in asked["headers"] if name in (*CREDENTIALS, *ORIGIN)]
        scope = {
            **asked,
            "method": method,
            "path": path,
            "raw_path": quote(path, safe="/:@.").encode(),
            "query_string": b"",
            "headers": [*kept, *headers, (b"accept", JSON.encode())],
            "path_params": {},
            "state": state,
        }
        app = self._request.app
        start, *parts = await _complete_response(
            ExceptionMiddleware(app.router, handlers=app.exception_handlers), scope, receive
        )
        return Answer(
            start["status"], Headers(raw=start["headers"]), b"".join(part.get("body", b"") for part in parts)
        )


async def _complete_response(app: ASGIApp, scope: Scope, receive: Receive) -> list[Message]:
    """Return the messages of a response once it is complete; what the route does after it goes on."""
    received: list[Message] = []
    is_complete = asyncio.Event()

    async def collect(message: Message) -> None:
        received.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            is_complete.set()

    running = asyncio.ensure_future(app(scope, receive, collect))
    running.add_done_callback(lambda _: is_complete.set())
    await is_complete.wait()
    if running.done():
        await running  # raises what the route raised
    else:
        AFTERWARDS.add(running)
        running.add_done_callback(AFTERWARDS.discard)
    return received


async def api_of(request: Request) -> Api:
    return Api(request)


ApiDep = Annotated[Api, Depends(api_of)]


def _conditions(version: str | None, key: str | None, wait_seconds: int | None) -> list[tuple[bytes, bytes]]:
    headers = {
        "if-match": f'"{version}"' if version else None,
        "idempotency-key": key or None,
        "prefer": None if wait_seconds is None else f"wait={wait_seconds}",
    }
    return [(name.encode(), value.encode()) for name, value in headers.items() if value is not None]


def _body(content: bytes) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive
