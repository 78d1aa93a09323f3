"""Sign-in with OAuth, and the client metadata for authorization servers."""

import re
import secrets
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field, SecretStr
from starlette.concurrency import run_in_threadpool

from aggregates.errors import InvalidFieldError
from api.auth.authentication import ServicesDep, counted
from api.auth.session_cookie import is_https, put_active_first, set_session
from api.auth.sign_in_page import Refusal, SignInPages, sign_in_pages
from api.error_responses import INTERNAL, message_of, reply_for, response_to
from api.errors import (
    ApiError,
    CrossSiteError,
    MissingPartError,
    NotAConfidentialClientError,
    SignInUnavailableError,
)
from api.middleware.request_id import over_http
from api.openapi import errors
from api.pipeline.concurrency import sign_in_under_way
from api.requests.account_fields import checked_scope
from api.requests.known_names import StrictRoute
from api.services import Services
from identity.accounts.credentials import Scope
from identity.errors import IdentityError
from identity.oauth.client import CALLBACK_PATH, JWKS_PATH, METADATA_PATH, OAuthApp
from identity.oauth.sign_in import SIGN_IN_TTL, STATE, AuthorizationResponse, OAuthSignIn

router = APIRouter(tags=["sign-in"], route_class=StrictRoute, dependencies=[Depends(counted)])
standard = APIRouter(tags=["sign-in"], dependencies=[Depends(counted)])
"""What authorization servers use: clients ignore parameters that they do not know (RFC 6749, 4.1.2)."""

LOGIN_PATH: Final = "/auth/login"
FORM_COOKIE: Final = "mastertape_form"
PROOF: Final = re.compile(r"[A-Za-z0-9_-]{43}")
ATTEMPT_COOKIE: Final = "mastertape_sign_in_"
"""One cookie for each attempt, so that two tabs do not interfere."""
SERVER_ERROR: Final = 500
HOME: Final = "/me"
MAX_HANDLE_LENGTH: Final = 512
PAGE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "A page that asks for the handle, for browsers", "content": {"text/html": {}}}
}


class LoginQuery(BaseModel):
    """The account to sign in with, and where to return: a path here, or an address of CORS_ORIGINS."""

    handle: str = Field("", description="the handle or the DID of the account; a browser is asked for it")
    return_to: str = Field(HOME, description="a path here, or an address of CORS_ORIGINS")
    scope: str = Field(
        default="write",
        description="the session's scope; `admin` is for ADMIN_DIDS, `operator`, which only reads, for OPERATOR_DIDS "
        "too; both have to be requested, and last 12 hours",
        json_schema_extra={"enum": [scope.value for scope in Scope]},
    )
    page: bool = Field(
        default=False,
        description="respond with a page that links there: a form on a page with a form-action policy must not be redirected",
    )
    proof: str = Field("", description="what the form of the sign-in page carries, and a cookie confirms")


@router.get(
    LOGIN_PATH,
    status_code=303,
    response_class=RedirectResponse,
    responses=PAGE | errors(400, 401, 403, 404, 422, 503),
    dependencies=[Depends(sign_in_under_way)],
)
async def login(request: Request, services: ServicesDep, wanted: Annotated[LoginQuery, Query()]) -> Response:
    """Redirect to the authorization server of the account's own PDS; `handle` may also be a DID.

    A browser that a link sends here gets the page, with the handle filled in.
    """
    if (elsewhere := _same_page_at_base_url(request, services)) is not None:
        return elsewhere
    try:
        return await _started(request, services, wanted)
    except (ApiError, IdentityError, InvalidFieldError) as error:
        return _refusal(request, services, error, wanted)


@standard.get(
    CALLBACK_PATH,
    status_code=303,
    response_class=RedirectResponse,
    responses=errors(400, 401, 403, 404, 422, 503),
    dependencies=[Depends(sign_in_under_way)],
)
async def callback(
    request: Request, services: ServicesDep, query: Annotated[AuthorizationResponse, Query()]
) -> Response:
    """Finish the sign-in; only in the browser that started it, and once."""
    name = _attempt_cookie(services, query.state or "")
    cookie = SecretStr(request.cookies[name]) if request.cookies.get(name) else None
    try:
        response = await _finished(request, services, query, cookie)
    except (ApiError, IdentityError) as error:
        response = _refusal(request, services, error, _asked(services, query, cookie))
    if response.status_code < SERVER_ERROR and STATE.fullmatch(query.state or ""):
        response.delete_cookie(
            name, path=CALLBACK_PATH, secure=is_https(services), httponly=True, samesite="lax"
        )
    return response


@standard.get(METADATA_PATH, responses=errors(404, free=True))
async def read_client_metadata(services: ServicesDep) -> dict[str, Any]:
    """Describe this client to authorization servers; its URL is the client ID."""
    return _confidential(services).metadata()


@standard.get(JWKS_PATH, responses=errors(404, free=True))
async def read_jwks(services: ServicesDep) -> dict[str, Any]:
    """Return the public keys that this client signs with."""
    return _confidential(services).jwks()


async def _started(request: Request, services: Services, wanted: LoginQuery) -> Response:
    oauth, scope, pages = _oauth(services), checked_scope(wanted.scope), sign_in_pages(request)
    if not wanted.handle:
        if pages is not None:
            asked = "With the handle of your account, wherever it lives."
            return _form(request, services, pages, asked, _kept(wanted))
        raise MissingPartError("handle")
    if len(wanted.handle) > MAX_HANDLE_LENGTH:
        raise InvalidFieldError("handle", f"must have at most {MAX_HANDLE_LENGTH} characters")
    return_to = _return_to(services, wanted.return_to)
    if not _is_started_here(request, services, wanted):
        if pages is None:
            raise CrossSiteError
        message = "A link has filled in the handle. Sign in only if the account is yours."
        return _form(request, services, pages, message, _kept(wanted))
    started = await oauth.start(wanted.handle, return_to=return_to, scope=scope)
    response: Response
    if wanted.page and pages is not None:
        response = pages.onward(started.url)
    else:
        response = RedirectResponse(started.url, 303)
    response.set_cookie(
        _attempt_cookie(services, started.state),
        started.cookie.get_secret_value(),
        max_age=int(SIGN_IN_TTL.total_seconds()),
        path=CALLBACK_PATH,
        secure=is_https(services),
        httponly=True,
        samesite="lax",
    )
    return response


async def _finished(
    request: Request, services: Services, query: AuthorizationResponse, cookie: SecretStr | None
) -> Response:
    signed_in, return_to = await _oauth(services).finish(query, cookie, by=over_http)
    tokens = await run_in_threadpool(
        put_active_first, request, services, signed_in.token, signed_in.account.did, ends_older=True
    )
    response = RedirectResponse(return_to, 303)
    set_session(response, services, tokens)
    return response


def _asked(services: Services, query: AuthorizationResponse, cookie: SecretStr | None) -> LoginQuery | None:
    """Return the query that started the attempt, with which the person may start again."""
    asked = services.oauth.attempted(query.state, cookie) if services.oauth is not None else None
    if asked is None:
        return None
    return LoginQuery(handle=asked.identifier, return_to=asked.return_to, scope=asked.scope.value)


def _is_started_here(request: Request, services: Services, wanted: LoginQuery) -> bool:
    """Whether our form, a page of CORS_ORIGINS, a typed address or a program starts the sign-in.

    Otherwise any link, also one that an artist writes on our own pages, could sign the browser in with an account of its
    author, and so end the sessions in it.
    """
    site, proof = request.headers.get("sec-fetch-site"), _proof(request, services)
    # another host of our domain may set a cookie here, but its pages are not of the same origin
    if (
        site in {None, "same-origin"}
        and proof is not None
        and secrets.compare_digest(proof.encode(), wanted.proof.encode())
    ):
        return True
    referer = request.headers.get("referer", "")
    listed = set(services.cors_origins) - {services.base_url}
    if any(f"{referer}/".startswith(f"{origin}/") for origin in listed):
        return True
    return sign_in_pages(request) is None if site is None else site == "none"


def _proof(request: Request, services: Services) -> str | None:
    """Return what a sign-in page in this browser carries: browsers send its cookie only from our own pages."""
    found = request.cookies.get(_cookie_name(services, FORM_COOKIE), "")
    return found if PROOF.fullmatch(found) else None


def _attempt_cookie(services: Services, state: str) -> str:
    return _cookie_name(services, ATTEMPT_COOKIE) + state


def _cookie_name(services: Services, name: str) -> str:
    return ("__Secure-" if is_https(services) else "") + name


def _form(
    request: Request,
    services: Services,
    pages: SignInPages,
    message: str,
    asked: dict[str, str],
    *,
    refusal: Refusal | None = None,
) -> Response:
    """Return the sign-in page, and the cookie that confirms what its form carries; tabs share it."""
    proof = _proof(request, services) or secrets.token_urlsafe(32)
    page = pages.form(message, {**asked, "proof": proof}, refusal)
    page.set_cookie(
        _cookie_name(services, FORM_COOKIE),
        proof,
        max_age=int(SIGN_IN_TTL.total_seconds()),
        path=LOGIN_PATH,
        secure=is_https(services),
        httponly=True,
        samesite="strict",
    )
    return page


def _oauth(services: Services) -> OAuthSignIn:
    if services.oauth is None:
        raise SignInUnavailableError
    return services.oauth


def _confidential(services: Services) -> OAuthApp:
    if services.oauth is None or not services.oauth.app.keys:
        raise NotAConfidentialClientError
    return services.oauth.app


def _same_page_at_base_url(request: Request, services: Services) -> Response | None:
    """Redirect from localhost to 127.0.0.1, where authorization servers return to: cookies do not cross."""
    if request.url.hostname != "localhost" or services.oauth is None or is_https(services):
        return None
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"{services.base_url}{request.url.path}{query}", 303)


def _return_to(services: Services, wanted: str) -> str:
    """Return the address to return to; raises InvalidFieldError unless it is ours or of CORS_ORIGINS."""
    path = wanted.startswith("/") and not wanted.startswith("//")
    there = any(wanted == origin or wanted.startswith(f"{origin}/") for origin in services.cors_origins)
    # browsers read a backslash as a slash, and skip unprintable characters
    if not (path or there) or "\\" in wanted or not (wanted.isascii() and wanted.isprintable()):
        raise InvalidFieldError("return_to", "must be a path here, or an address of CORS_ORIGINS")
    return wanted


def _kept(wanted: LoginQuery) -> dict[str, str]:
    """Return the request's other parameters, which the form repeats."""
    kept = wanted.model_dump(exclude_defaults=True, exclude={"proof"})
    return {name: str(value) for name, value in kept.items()}


def _refusal(
    request: Request, services: Services, error: Exception, wanted: LoginQuery | None = None
) -> Response:
    """Return the refusal as a page for a browser, as JSON for a program."""
    reply, pages = reply_for(error), sign_in_pages(request)
    if pages is not None and reply is not INTERNAL:
        message = message_of(error, reply)
        asked = _kept(wanted or LoginQuery())
        refusal = Refusal(reply.status, reply.code)
        return _form(request, services, pages, message, asked, refusal=refusal)
    if reply.status < SERVER_ERROR:
        return response_to(error)
    raise error
