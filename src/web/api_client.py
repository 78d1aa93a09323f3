"""Asks the API in this process, with the credentials of the request that a page answers.

So a page shows what its person may read, and changes what they may change, without a rule of its own.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Final
from urllib.parse import quote, urlencode

from fastapi import Depends, Request
from starlette.datastructures import Headers
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope

from api.auth.authentication import COUNTED

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
    """The API refused what a page cannot be made without."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer: Final = answer


class Api:
    """The API, as the person who sent `request`."""

    def __init__(self, request: Request) -> None:
        self._request: Final = request

    async def read(self, path: str, **query: object) -> Any:
        """Return the JSON at a path; raises RefusedError."""
        answer = await self.ask(path, **query)
        if not answer.is_success:
            raise RefusedError(answer)
        return answer.body

    async def ask(self, path: str, **query: object) -> Answer:
        """Return the answer to a GET, whatever it is. A query's None is left out; a list repeats its name."""
        return await self._send("GET", path, query, (), _body(b""), is_counted=True)

    async def ask_for_headers(self, path: str, **query: object) -> Answer:
        """Return the answer to a HEAD: what a GET would say, without its content."""
        return await self._send("HEAD", path, query, (), _body(b""), is_counted=True)

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
        return await self._send(method, path, {}, headers, _body(content), length=len(content))

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
        return await self._send(method, path, {}, headers, self._request.receive, is_whole_request=True)

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, object],
        headers: Iterable[tuple[bytes, bytes]],
        receive: Receive,
        *,
        length: int | None = None,
        is_counted: bool = False,
        is_whole_request: bool = False,
    ) -> Answer:
        asked = self._request.scope
        kept = [(name, value) for name, value in asked["headers"] if name in (*CREDENTIALS, *ORIGIN)]
        size = [] if length is None else [(b"content-length", str(length).encode())]
        scope = {
            **asked,
            "method": method,
            "path": path,
            "raw_path": quote(path, safe="/:@.").encode(),
            "query_string": _query(query),
            "headers": [*kept, *headers, *size, (b"accept", JSON.encode())],
            "path_params": {},
            # what the route allows for the body must reach the limits of the page's own request
            "state": asked["state"] if is_whole_request else {**asked["state"], COUNTED: is_counted},
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


def _query(query: Mapping[str, object]) -> bytes:
    return urlencode({name: value for name, value in query.items() if value is not None}, doseq=True).encode()


def _body(content: bytes) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive
