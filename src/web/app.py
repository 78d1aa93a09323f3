"""Makes the application that browsers see: the API, and pages made from its answers, of its errors and of a sign-in too."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode, urlsplit

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import MutableHeaders
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send

from api.app import KINDS as SUBJECTS
from api.app import create_app as create_api
from api.document import DocumentedApp
from api.error_responses import Reply
from api.middleware.rate_limits import is_plyr
from api.pipeline.concurrency import sign_in_under_way
from api.plyr.surface import error_body as error_body_for_programs
from api.responses.list import DOORS
from api.routers.account.oauth import LOGIN_PATH, sign_in_again
from api.services import Services
from identity.accounts.credentials import Scope as TokenScope
from web import static_files
from web.ask import (
    Api,
    ApiDep,
    ElsewhereError,
    FormDep,
    OwnAsk,
    RefusedError,
    SignInFirstError,
    accepts_html,
)
from web.page import pages, to
from web.pages import comments, docs, pds, previews, public, sharing, versions
from web.pages.ops import actions, deliveries, now, people, repairs, subjects
from web.pages.studio import history, lists, my_tracks, reactions, record, releases, subject, table, track
from web.pages.studio.waiting import KINDS, LISTS
from web.rendering import Viewer, address_of, page_headers, rendered, viewer_in_cookie

NEEDS_SIGN_IN: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.PAYMENT_REQUIRED})


async def error_body(scope: Scope, status: int, headers: MutableHeaders, body: bytes) -> bytes:
    """Return the body of an error: a page where the caller accepts HTML, else the API's; only an error of ours names its request."""
    if is_plyr(scope["path"]) or not accepts_html(scope):
        return await error_body_for_programs(scope, status, headers, body)
    request, detail = Request(scope), json.loads(body)["detail"]
    services: Services = request.app.state.services
    is_ours = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    returns = status in NEEDS_SIGN_IN and request.method in {"GET", "HEAD"}
    page = rendered(
        "error.html",
        services,
        status,
        viewer=Viewer(None) if is_ours else await viewer_in_cookie(request, services),
        number=status,
        detail=detail,
        retry_after=headers.get("retry-after"),
        sign_in=sign_in_address(request) if returns else LOGIN_PATH,
        request_id=headers.get("x-request-id") if is_ours else None,
    )
    headers.update({**page_headers(services), "Content-Type": page.headers["content-type"]})
    return bytes(page.body)


async def sign_in_first(request: Request, _error: Exception) -> Response:
    return to(sign_in_address(request))


async def elsewhere(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ElsewhereError)  # noqa: S101 - registered for it alone
    return RedirectResponse(error.address, HTTPStatus.SEE_OTHER, {"Vary": "Accept"})


async def refused(_request: Request, error: Exception) -> Response:
    """Answer with the refusal, from which `error_body` makes a page."""
    assert isinstance(error, RefusedError)  # noqa: S101 - registered for it alone
    kept = {name: value for name, value in error.answer.headers.items() if name != "content-length"}
    return Response(error.answer.content, error.status, kept)


def sign_in_address(request: Request) -> str:
    asked = {"return_to": address_of(request)}
    if request.url.path.split("/")[1] == "ops":
        asked["scope"] = TokenScope.OPERATOR
    return f"{LOGIN_PATH}?{urlencode(asked)}"


router = pages()

STUDIO = "/studio"
"""Where a person who signs in on the page goes, if nothing else was asked for."""


class WebSignInPages:
    def __init__(self, services: Services) -> None:
        self._services = services

    def form(self, message: str, asked: Mapping[str, str], refusal: Reply | None = None) -> Response:
        kept = {name: asked[name] for name in ("scope", "return_to", "proof") if name in asked}
        return rendered(
            "sign_in.html",
            self._services,
            refusal.status if refusal else HTTPStatus.OK,
            refusal=refusal and refusal.code,
            message=message,
            handle=asked.get("handle", ""),
            kept={"return_to": STUDIO} | kept,
        )

    def onward(self, url: str) -> Response:
        return rendered("onward.html", self._services, url=url, host=urlsplit(url).netloc)


@router.post("/accounts/switch")
async def switch(form: FormDep, api: ApiDep) -> Response:
    return await _then("/studio", api, "/auth/switch", {"did": form.get("did", "")})


@router.post("/accounts/sign-out")
async def sign_out(form: FormDep, api: ApiDep) -> Response:
    return await _then("/", api, "/auth/logout", {"did": form["did"]} if form.get("did") else {})


@router.post("/accounts/consent", dependencies=[Depends(sign_in_under_way)])
async def consent(request: Request, form: FormDep, ask: OwnAsk) -> Response:
    """Ask the account's PDS for what its login does not allow yet, beside what it allows."""
    return await sign_in_again(request, ask.services, ask.caller, form.get("return_to", STUDIO))


async def _then(address: str, api: Api, path: str, fields: dict[str, str]) -> Response:
    answer = await api.send("POST", path, fields)
    response = to(address)
    for cookie in answer.headers.getlist("set-cookie"):
        response.headers.append("set-cookie", cookie)
    return response


async def _route(
    all_: APIRouter, for_programs: Callable[[], APIRouter], scope: Scope, receive: Receive, send: Send
) -> None:
    """Route a program's request past the pages that no link leads to: comparing it with each of them would cost it time."""
    is_program = scope["type"] == "http" and not accepts_html(scope)
    await (for_programs() if is_program else all_).app(scope, receive, send)


PAGES: Final = (
    comments,
    previews,
    my_tracks,
    table,
    track,
    releases,
    reactions,
    docs,
    now,
    deliveries,
    repairs,
    people,
    actions,
)
ROUTERS: Final = (
    static_files.router,
    sharing.router,
    public.router,
    versions.router,
    router,
    pds.router,
    *(page.router for page in PAGES),
    *map(subjects.routes, SUBJECTS),
    *map(lists.routes, LISTS, DOORS),
    *(page.routes(kind) for kind in KINDS for page in (subject, history, record)),
    *(history.version_routes(kind) for kind in KINDS if kind.read_past is not None),
)


FOR_ALL: Final = tuple(page.router for page in (static_files, sharing, public, versions, previews, docs))
"""What programs ask for, too: they follow links."""


def _routes(routers: Sequence[APIRouter]) -> list[BaseRoute]:
    return [route for router in routers for route in router.routes]


def create_app(services: Services) -> DocumentedApp:
    """Return the application. Pages come before the API's routes: at a shared address, a browser gets the page."""
    app = create_api(services, error_body)
    app.router.routes[:0] = _routes(ROUTERS)

    @cache
    def for_programs() -> APIRouter:
        pages = {id(route) for route in _routes(ROUTERS)}
        routes = [route for route in app.routes if id(route) not in pages]
        return APIRouter(routes=[*routes, *_routes(FOR_ALL)], redirect_slashes=False)

    app.router.middleware_stack = partial(_route, app.router, for_programs)
    app.state.sign_in_pages = WebSignInPages(services)
    app.state.reference = docs.Reference(app)
    app.add_exception_handler(RefusedError, refused)
    app.add_exception_handler(SignInFirstError, sign_in_first)
    app.add_exception_handler(ElsewhereError, elsewhere)
    return app
