"""The routes of pages, beside the API's at the same address, and the readers of the API that they ask without HTTP.

So a page shows what its person may read, as a program gets it, without a rule of its own.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from inspect import isawaitable
from typing import Annotated, Any, Concatenate, Final, Generic, ParamSpec, TypeVar
from urllib.parse import parse_qsl, quote

from fastapi import Depends, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers, ImmutableMultiDict
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import Message, Receive, Scope

from api.auth.authentication import SAFE, Authenticated, OperatorDep, OptionalCaller, ServicesDep
from api.error_responses import reply_for
from api.errors import BodyTooLargeError, UnparsableError
from api.middleware.http_layer import FIELDS_BYTES, PREVIEWS, Most, allow
from api.middleware.request_threads import in_thread
from api.openapi import JSON
from api.requests.parameters import DeferredRoute, number_of
from api.services import Services
from identity.accounts.credentials import Principal

Json = Mapping[str, Any]
"""What a reader or a command answers, and what is made of it."""
C = TypeVar("C", bound=Principal | None)
P = ParamSpec("P")
Q = TypeVar("Q", bound=BaseModel)
Found = BaseModel | Mapping[str, Any]
"""A body of a route, or what only pages read: JSON."""
Reader = Callable[Concatenate[C, Services, P], Found | Awaitable[Found]]


def _json(body: Any) -> Any:
    return body.model_dump(mode="json") if isinstance(body, BaseModel) else body


class SignInFirstError(Exception):
    """The page is for those who are signed in."""


@dataclass(frozen=True)
class Ask(Generic[C]):
    caller: C
    services: Services

    def is_by(self, did: str) -> bool:
        return self.caller is not None and self.caller.did == did

    async def __call__(self, reader: Reader[C, P], *args: P.args, **kwargs: P.kwargs) -> Any:
        """Return the JSON of what a reader reads; raises what it raises."""
        body = await in_thread(lambda: _json(reader(self.caller, self.services, *args, **kwargs)))
        return await in_thread(_json, await body) if isawaitable(body) else body

    async def find(self, reader: Reader[C, P], *args: P.args, **kwargs: P.kwargs) -> Any:
        """Return the same; None where there is no such thing."""
        try:
            return await self(reader, *args, **kwargs)
        except Exception as error:
            if reply_for(error).status != HTTPStatus.NOT_FOUND:
                raise
            return None


async def ask_as_visitor(caller: OptionalCaller, services: ServicesDep) -> Ask[Principal | None]:
    return Ask(caller, services)


async def ask_as_owner(request: Request, found: Authenticated, services: ServicesDep) -> Ask[Principal]:
    """Let a page ask for its own account; raises SignInFirstError, or where a form is sent what the API raises."""
    if isinstance(found, Principal):
        return Ask(found, services)
    raise SignInFirstError if request.method in SAFE else found


async def ask_as_operator(operator: OperatorDep, services: ServicesDep) -> Ask[Principal]:
    return Ask(operator, services)


PublicAsk = Annotated[Ask[Principal | None], Depends(ask_as_visitor)]
OwnAsk = Annotated[Ask[Principal], Depends(ask_as_owner)]
OperatorAsk = Annotated[Ask[Principal], Depends(ask_as_operator)]


def wanted(query: type[Q], /, **values: object) -> Q:
    """Return the query that an address or a form asks for, where an empty text asks for nothing; raises RequestValidationError."""
    asked = {name: value for name, value in values.items() if value not in (None, "")}
    try:
        return query.model_validate(asked)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None


HTML: Final = "text/html"
ANY: Final = "*/*"
ACCEPTS_HTML: Final = "mastertape.accepts_html"
PUBLIC_PATHS: Final = frozenset({"/", "/docs", "/search", "/tags"})
PUBLIC: Final = ("/@", "/tags/", "/docs/", "/embed/", PREVIEWS)
"""The pages that are shared as links, where the API has no route, are there or begin so."""


def accepts_html(scope: Scope) -> bool:
    """Whether to answer with a page: browsers name text/html in Accept; a public page is for all that accept anything."""
    if ACCEPTS_HTML not in scope:
        accept = Headers(scope=scope).get("accept") or ANY
        is_public = scope["path"] in PUBLIC_PATHS or scope["path"].startswith(PUBLIC)
        scope[ACCEPTS_HTML] = HTML in accept or (ANY in accept and is_public)
    return bool(scope[ACCEPTS_HTML])


class PageRoute(DeferredRoute):
    """A route of a page. `web.app` holds it only against requests that accept HTML, unless the page is one that links lead to."""

    def __init__(
        self, path: str, endpoint: Callable[..., Any], *, methods: list[str], **options: Any
    ) -> None:
        methods = ["GET", "HEAD"] if methods == ["GET"] else methods
        super().__init__(path, endpoint, methods=methods, **options)


class ElsewhereError(Exception):
    """The API has at this address what the page shows."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address: Final = address


def or_at(address: str | None = None) -> Any:
    """Answer with the page where Accept names HTML; redirect other requests to the API's address, with the page's parameters, or refuse them with 406."""

    async def check(request: Request) -> None:
        if accepts_html(request.scope):
            return
        if address is None:
            raise HTTPException(HTTPStatus.NOT_ACCEPTABLE, headers={"Vary": "Accept"})
        raise ElsewhereError(
            address.format(**{name: quote(value, safe=":") for name, value in request.path_params.items()})
        )

    return Depends(check)


MAX_FORM_BYTES: Final = 256 * 1024
MAX_RELEASE_FORM_BYTES: Final = 3 * FIELDS_BYTES
"""The notes of a hundred tracks as the API takes them, where each byte may take three."""
MAX_FIELDS: Final = 1000


class Form(ImmutableMultiDict[str, str]):
    """The fields of a form, with lines that end as ours do; of several with one name, the last."""

    def number(self, name: str) -> int | None:
        return number_of(self.get(name, ""))


def form_within(most: int) -> Callable[[Request], Awaitable[Form]]:
    async def form_of(request: Request) -> Form:
        """Read an urlencoded form; raises BodyTooLargeError or UnparsableError."""
        allow(request, Most(most, partial(BodyTooLargeError, most)))
        content = await request.body()
        try:
            fields = parse_qsl(content.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
        except ValueError as error:
            raise UnparsableError("The form cannot be read. Nothing was changed.") from error
        return Form((name, text.replace("\r\n", "\n")) for name, text in fields)

    return form_of


FormDep = Annotated[Form, Depends(form_within(MAX_FORM_BYTES))]
ReleaseFormDep = Annotated[Form, Depends(form_within(MAX_RELEASE_FORM_BYTES))]

OF_SENDER: Final = (b"cookie", b"authorization", b"origin", b"sec-fetch-site", b"sec-fetch-mode")
OF_BODY: Final = (b"content-type", b"content-length", b"transfer-encoding")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Headers
    content: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.content) if self.headers.get("content-type", "").startswith(JSON) else None

    @property
    def problem(self) -> Any:
        """What the API says of an error: `error`, `message` and the fields of that error."""
        return self.body["detail"]


class RefusedError(Exception):
    """The API refused a form; where no page shows it, the answer is that of the API."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer: Final = answer
        self.status: Final = answer.status

    def said_at(self, *statuses: int) -> str:
        """Return the API's message, where a page shows it; raises the refusal at any other status."""
        if self.status not in statuses:
            raise self
        return str(self.answer.problem["message"])


@dataclass(frozen=True)
class Api:
    """The API, as the person who sent `request`."""

    request: Request

    async def send(
        self,
        method: str,
        path: str,
        fields: Mapping[str, object] | None = None,
        *,
        version: str | None = None,
        key: str | None = None,
    ) -> Answer:
        """Send a command as JSON, for this version of the track alone, and once under this Idempotency-Key; raises RefusedError."""
        content = b"" if fields is None else json.dumps(fields).encode()
        headers = _conditions(version, key)
        headers += Headers({"content-length": str(len(content)), "content-type": JSON}).raw
        # the state is that of this request: what the route allows for the body is not for the page's own
        return await self._send(method, path, headers, _body(content), dict(self.request.scope["state"]))

    async def pass_on(self, method: str, path: str, *, key: str | None = None) -> Answer:
        """Send the page's own request body on as it comes, files included; raises RefusedError."""
        asked = self.request.scope
        headers = [each for each in asked["headers"] if each[0] in OF_BODY]
        headers += _conditions(None, key)
        # what the route allows for the body must reach the limits of the page's own request
        return await self._send(method, path, headers, self.request.receive, asked["state"])

    async def _send(
        self,
        method: str,
        path: str,
        headers: Iterable[tuple[bytes, bytes]],
        receive: Receive,
        state: dict[str, Any],
    ) -> Answer:
        asked, app = self.request.scope, self.request.app
        path, _, query = path.partition("?")
        kept = [each for each in asked["headers"] if each[0] in OF_SENDER]
        scope = {
            **asked,
            "method": method,
            "path": path,
            "raw_path": quote(path, safe="/:@.").encode(),
            "query_string": query.encode(),
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


ApiDep = Annotated[Api, Depends()]


def _conditions(version: str | None, key: str | None) -> list[tuple[bytes, bytes]]:
    # a form never waits for the PDS: the page follows it
    headers = {"if-match": version and f'"{version}"', "idempotency-key": key, "prefer": "wait=0"}
    return Headers({name: value for name, value in headers.items() if value}).raw


def _body(content: bytes) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive
