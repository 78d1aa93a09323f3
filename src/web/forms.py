"""Reads the forms of pages, and sends them on to the API in this process, with the credentials of the page's request.

So a page changes what its person may change, without a rule of its own.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl, quote

from fastapi import Depends, Request
from starlette.datastructures import Headers
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import Message, Receive

from api.errors import BodyTooLargeError, UnparsableError
from api.requests.parameters import number_of
from web.ask import ACCEPTS_HTML

MAX_FORM_BYTES: Final = 256 * 1024
MAX_FIELDS: Final = 1000


class Form(dict[str, str]):
    """The fields of a form; of several with one name, the last."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        super().__init__(pairs)
        self._pairs: Final = pairs

    def all(self, name: str) -> list[str]:
        return [value for each, value in self._pairs if each == name]

    def number(self, name: str) -> int | None:
        """Return a field as a whole number; None where it is none."""
        return number_of(self.get(name, ""))


async def form_of(request: Request) -> Form:
    """Read an urlencoded form; raises BodyTooLargeError or UnparsableError."""
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_FORM_BYTES:
            raise BodyTooLargeError(MAX_FORM_BYTES)
    try:
        return Form(parse_qsl(content.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError as error:
        raise UnparsableError("The form cannot be read. Nothing was changed.") from error


FormDep = Annotated[Form, Depends(form_of)]

OF_SENDER: Final = (b"cookie", b"authorization", b"origin", b"sec-fetch-site", b"sec-fetch-mode")
OF_BODY: Final = (b"content-type", b"content-length", b"transfer-encoding")
JSON: Final = "application/json"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Headers
    content: bytes

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
    """The API refused a form; where no page shows it, the answer is that of the API."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer: Final = answer
        self.status: Final = answer.status


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
        """Send a command as JSON, for this version of the track alone, and once under this Idempotency-Key; raises RefusedError."""
        content = b"" if fields is None else json.dumps(fields).encode()
        headers = _conditions(version, key, wait_seconds)
        headers.append((b"content-length", str(len(content)).encode()))
        if fields is not None:
            headers.append((b"content-type", JSON.encode()))
        # the state is that of this request: what the route allows for the body is not for the page's own
        return await self._send(method, path, headers, _body(content), dict(self._request.scope["state"]))

    async def pass_on(
        self, method: str, path: str, *, key: str | None = None, wait_seconds: int | None = None
    ) -> Answer:
        """Send the page's own request body on as it comes, files included; raises RefusedError."""
        asked = self._request.scope
        headers = [each for each in asked["headers"] if each[0] in OF_BODY]
        headers += _conditions(None, key, wait_seconds)
        # what the route allows for the body must reach the limits of the page's own request
        return await self._send(method, path, headers, self._request.receive, asked["state"])

    async def _send(
        self,
        method: str,
        path: str,
        headers: Iterable[tuple[bytes, bytes]],
        receive: Receive,
        state: dict[str, Any],
    ) -> Answer:
        asked, app = self._request.scope, self._request.app
        kept = [each for each in asked["headers"] if each[0] in OF_SENDER]
        scope = {
            **asked,
            "method": method,
            "path": path,
            "raw_path": quote(path, safe="/:@.").encode(),
            "query_string": b"",
            "headers": [*kept, *headers],
            "path_params": {},
            "state": state,
            ACCEPTS_HTML: False,
        }
        received: list[Message] = []

        async def collect(message: Message) -> None:
            received.append(message)

        await ExceptionMiddleware(app.router, handlers=app.exception_handlers)(scope, receive, collect)
        start, *parts = received
        content = b"".join(part.get("body", b"") for part in parts)
        answer = Answer(start["status"], Headers(raw=start["headers"]), content)
        if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise RefusedError(answer)
        return answer


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
