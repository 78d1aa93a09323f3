"""The routes of pages, beside the API's at the same address, and the readers of the API that they ask without HTTP.

So a page shows what its person may read, as a program gets it, without a rule of its own.
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from inspect import isawaitable
from typing import Annotated, Any, Concatenate, Final, Generic, ParamSpec, TypeVar

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.routing import Match
from starlette.types import Scope

from api.auth.authentication import SAFE, Authenticated, OperatorDep, OptionalCaller, ServicesDep
from api.error_responses import reply_for
from api.services import Services
from identity.accounts.credentials import Principal

C = TypeVar("C", bound=Principal | None)
P = ParamSpec("P")
Q = TypeVar("Q", bound=BaseModel)


class SignInFirstError(Exception):
    """The page is for those who are signed in."""


class Ask(Generic[C]):
    """Asks as `caller`."""

    def __init__(self, caller: C, services: Services) -> None:
        self.caller: Final = caller
        self.services: Final = services

    async def __call__(
        self,
        reader: Callable[Concatenate[C, Services, P], BaseModel | Awaitable[BaseModel]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Any:
        """Return the JSON of what a reader reads; raises what it raises."""
        body = await run_in_threadpool(reader, self.caller, self.services, *args, **kwargs)
        return (await body if isawaitable(body) else body).model_dump(mode="json")

    async def find(
        self,
        reader: Callable[Concatenate[C, Services, P], BaseModel | Awaitable[BaseModel]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Any:
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
PUBLIC: Final = ("/@", "/tags/", "/docs/")
"""The pages that are shared as links, where the API has no route, begin so."""


def accepts_html(scope: Scope) -> bool:
    """Whether to answer with a page: browsers name text/html in Accept; a public page is for all that accept anything."""
    if ACCEPTS_HTML not in scope:  # each route of a page asks
        accept = Headers(scope=scope).get("accept") or ANY
        is_public = scope["path"] in {"/", "/docs"} or scope["path"].startswith(PUBLIC)
        scope[ACCEPTS_HTML] = HTML in accept or (ANY in accept and is_public)
    return bool(scope[ACCEPTS_HTML])


class PageRoute(APIRoute):
    """A route that matches only requests that accept HTML."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.methods == {"GET"}:
            self.methods = {"GET", "HEAD"}

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] == "http" and not accepts_html(scope):
            return Match.NONE, {}
        return super().matches(scope)
