"""Renders templates into pages with the headers that a page needs, for the account in use in this browser; serves their styles and scripts."""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple
from uuid import uuid4

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from api.auth.authentication import OptionalCaller, ServicesDep, browser_sessions, cookie_tokens
from api.middleware.rate_limits import taken_of
from api.responses import states
from api.services import Services
from identity.accounts.credentials import Principal
from web.filters import FILTERS, FUNCTIONS, origin

FOREVER: Final = "public, max-age=31536000, immutable"
FOLDER: Final = "/static"
SERVED: Final = frozenset({".css", ".js", ".svg", ".woff2"})

static = APIRouter(include_in_schema=False)


class StaticFile(NamedTuple):
    content: bytes
    compressed: bytes
    mime: str | None


class StaticFiles(NamedTuple):
    """All of them; `version` is a hash of their content."""

    version: str
    files: dict[str, StaticFile]

    @property
    def path(self) -> str:
        """The path that scripts may run from."""
        return f"{FOLDER}/{self.version}/"

    def address(self, name: str) -> str:
        """Return the address of a file; raises KeyError if there is none of that name."""
        self.files[name]  # a template that misspells it must fail
        return self.path + name


@cache
def static_files() -> StaticFiles:
    """Read the files once in a process: together they are about a hundred kilobytes."""
    folder, found, digest = Path(__file__).parent / "static", {}, hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in SERVED:
            name, content = path.relative_to(folder).as_posix(), path.read_bytes()
            digest.update(name.encode() + content)
            found[name] = StaticFile(content, gzip.compress(content, mtime=0), mimetypes.guess_type(name)[0])
    return StaticFiles(digest.hexdigest()[:12], found)


@static.get(FOLDER + "/{version}/{name:path}")
async def read_static_file(version: str, name: str, request: Request) -> Response:
    """Serve a file. An address of an earlier version gets today's file, which no cache keeps."""
    here = static_files()
    if (file := here.files.get(name)) is None:
        raise HTTPException(404)
    headers = {"Cache-Control": FOREVER if version == here.version else "no-cache", "Vary": "Accept-Encoding"}
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(file.content, headers=headers, media_type=file.mime)
    return Response(file.compressed, headers={**headers, "Content-Encoding": "gzip"}, media_type=file.mime)


@dataclass(frozen=True)
class Viewer:
    account: Principal | None
    others: tuple[Principal, ...] = ()


async def viewer_of(request: Request, services: ServicesDep, caller: OptionalCaller) -> Viewer:
    """Return the caller, who is counted against the rate limit once for all that the page asks the API."""
    if caller is None or len(cookie_tokens(request)) < 2:  # noqa: PLR2004 - one account has no others
        return Viewer(caller)
    here = await run_in_threadpool(browser_sessions, request, services)
    return Viewer(caller, tuple(who for _, who in here if who.did != caller.did))


async def viewer_in_cookie(request: Request, services: Services) -> Viewer:
    """Return who is signed in, for the page of an error, which must not fail itself; of a request that was not counted, a visitor."""
    taken = taken_of(request.scope)
    is_counted = services.rate_limits is None or (taken is not None and taken.retry_after is None)
    tokens = cookie_tokens(request) if is_counted else []
    try:
        here = await run_in_threadpool(browser_sessions, request, services) if tokens else []
    except Exception:  # noqa: BLE001 - the error that the page is about may be the cause
        here = []
    if not here or here[0][0] != tokens[0]:
        return Viewer(None)
    (_, account), *others = here
    return Viewer(account, tuple(who for _, who in others))


ViewerDep = Annotated[Viewer, Depends(viewer_of)]


CSP: Final = (
    "default-src 'none'; script-src {scripts}; style-src {scripts}; font-src {scripts}; img-src 'self'; media-src {media}; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Scripts and styles come from the path of our own files alone: none runs that a record, an upload or an answer contains."""


@cache
def templates() -> Environment:
    environment = Environment(loader=PackageLoader("web"), autoescape=True, undefined=StrictUndefined)
    environment.filters |= FILTERS
    known: dict[str, Any] = FUNCTIONS | {"static": static_files().address, "states": states}
    known["form_key"] = lambda: uuid4().hex  # an Idempotency-Key: a form that is sent twice acts once
    environment.globals |= known
    return environment


def page_headers(services: Services) -> dict[str, str]:
    """Return the headers of a page: where it may load from, and that it depends on Accept and the cookie."""
    scripts = services.base_url + static_files().path
    copies = services.urls.public_url
    media = "'self'" if copies is None else f"'self' {origin(copies)}"
    return {
        "Content-Security-Policy": CSP.format(scripts=scripts, media=media),
        "Referrer-Policy": "same-origin",  # without one, browsers send a form's Origin as null, which is never accepted
        "Vary": "Accept, Cookie",
    }


def rendered(template: str, services: Services, status: int = HTTPStatus.OK, **values: Any) -> HTMLResponse:
    """Return a page without a viewer, as errors have it."""
    known = {
        "viewer": Viewer(None),
        "path": "/",
        "base_url": services.base_url,
        "grace_days": services.sweep_grace.days,
    }
    content = templates().get_template(template).render(known | values)
    return HTMLResponse(content, status, page_headers(services))


def address_of(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


@dataclass(frozen=True)
class Render:
    request: Request
    viewer: ViewerDep

    def __call__(self, template: str, status: int = HTTPStatus.OK, **values: Any) -> HTMLResponse:
        asked = {"path": self.request.url.path, "page_address": address_of(self.request)}
        return rendered(
            template, self.request.app.state.services, status, viewer=self.viewer, **asked, **values
        )


RenderDep = Annotated[Render, Depends()]
