"""Sign-in with OAuth, its pages, and the client metadata for authorization servers."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Protocol

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field, SecretStr
from starlette.concurrency import run_in_threadpool

from aggregates.errors import InvalidFieldError
from api.auth.authentication import ServicesDep, counted, is_https, keep_cookie, put_active_first, set_session
from api.error_responses import INTERNAL, Reply, message_of, reply_for, response_to
from api.errors import (
    ApiError,
    CrossSiteError,
    MissingPartError,
    NotAConfidentialClientError,
    SignInUnavailableError,
)
from api.middleware.http_layer import over_http
from api.openapi import errors
from api.pipeline.concurrency import sign_in_under_way
from api.requests.parameters import DeferredRoute, StrictRoute
from api.services import Services
from identity.accounts.credentials import Principal, Scope
from identity.errors import IdentityError
from identity.oauth.sign_in import (
    CALLBACK_PATH,
    JWKS_PATH,
    METADATA_PATH,
    SIGN_IN_TTL,
    STATE,
    AuthorizationResponse,
    OAuthApp,
    OAuthSignIn,
)


class SignInPages(Protocol):
    """Makes the pages; this package has only the sign-in itself."""

    def form(self, message: str, asked: Mapping[str, str], refusal: Reply | None = None) -> Response:
        """Return a page that asks for a handle and says why; its form repeats the parameters that were `asked`."""

    def onward(self, url: str) -> Response:
        """Return the page between the form and the authorization server of a PDS.

        A redirect would have to be in the form's form-action, which cannot name every PDS there is; this is a new
        navigation, which no policy of the form's page concerns.
        """


router = APIRouter(tags=["sign-in"], route_class=StrictRoute, dependencies=[Depends(counted)])
standard = APIRouter(tags=["sign-in"], route_class=DeferredRoute, dependencies=[Depends(counted)])
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
    responses=PAGE | errors(401, 403, 404),
    dependencies=[Depends(sign_in_under_way)],
)
async def login(request: Request, services: ServicesDep, wanted: Annotated[LoginQuery, Query()]) -> Response:
    """Redirect to the authorization server of the account's own PDS; `handle` may also be a DID.

    A browser that a link sends here gets the page, with the handle filled in.
    """
    if request.url.hostname == "localhost" and services.oauth is not None and not is_https(services):
        query = f"?{request.url.query}" if request.url.query else ""
        # authorization servers return to 127.0.0.1, and cookies do not cross
        return RedirectResponse(f"{services.base_url}{request.url.path}{query}", 303)
    return await _SignIn(request, services).start(wanted)


async def sign_in_again(
    request: Request, services: Services, principal: Principal, return_to: str
) -> Response:
    """Have the account in use sign in once more, and ask its PDS for all that this service offers.

    For a form, which only a page of ours can send with the cookie. A login that allows less does not replace the present one.
    """
    wanted = LoginQuery(handle=principal.did, return_to=return_to, scope=principal.scope, page=True)
    return await _SignIn(request, services).start(wanted, by_form=True)


@standard.get(
    CALLBACK_PATH,
    status_code=303,
    response_class=RedirectResponse,
    responses=errors(400, 401, 403, 404, 422, 429, 503),
    dependencies=[Depends(sign_in_under_way)],
)
async def callback(
    request: Request, services: ServicesDep, query: Annotated[AuthorizationResponse, Query()]
) -> Response:
    """Finish the sign-in; only in the browser that started it, and once."""
    return await _SignIn(request, services).finish(query)


@standard.get(METADATA_PATH, responses=errors(404))
async def read_client_metadata(services: ServicesDep) -> dict[str, Any]:
    """Describe this client to authorization servers; its URL is the client ID."""
    return _confidential(services).metadata()


@standard.get(JWKS_PATH, responses=errors(404))
async def read_jwks(services: ServicesDep) -> dict[str, Any]:
    """Return the public keys that this client signs with."""
    return _confidential(services).jwks()


@dataclass(frozen=True)
class _SignIn:
    """A request of a sign-in, by a browser or a program."""

    request: Request
    services: Services

    async def start(self, wanted: LoginQuery, *, by_form: bool = False) -> Response:
        """Lead to the authorization server, or to the page unless a form or a page of ours, or a program, starts the sign-in."""
        try:
            return await self._started(wanted, by_form=by_form)
        except (ApiError, IdentityError, InvalidFieldError) as error:
            return self._refusal(error, wanted)

    async def _started(self, wanted: LoginQuery, *, by_form: bool) -> Response:
        oauth, pages = self._oauth(), self._pages
        if wanted.scope not in list(Scope):
            raise InvalidFieldError("scope", f"must be one of: {', '.join(Scope)}")
        if not wanted.handle:
            if pages is not None:
                return self._form(pages, "With the handle of your account, wherever it lives.", wanted)
            raise MissingPartError("handle")
        if len(wanted.handle) > MAX_HANDLE_LENGTH:
            raise InvalidFieldError("handle", f"must have at most {MAX_HANDLE_LENGTH} characters")
        return_to = self._return_to(wanted.return_to)
        if not (by_form or self._is_started_here(wanted)):
            if pages is None:
                raise CrossSiteError
            message = "A link has filled in the handle. Sign in only if the account is yours."
            return self._form(pages, message, wanted)
        started = await oauth.start(wanted.handle, return_to=return_to, scope=Scope(wanted.scope))
        page = pages if wanted.page else None
        response = RedirectResponse(started.url, 303) if page is None else page.onward(started.url)
        self._keep(response, ATTEMPT_COOKIE + started.state, started.cookie.get_secret_value(), CALLBACK_PATH)
        return response

    async def finish(self, query: AuthorizationResponse) -> Response:
        cookie = ATTEMPT_COOKIE + (query.state or "")
        sealed = self._cookie(cookie)
        attempt = SecretStr(sealed) if sealed else None
        try:
            response = await self._finished(query, attempt)
        except (ApiError, IdentityError) as error:
            response = self._refusal(error, self._asked(query, attempt))
        if response.status_code < SERVER_ERROR and STATE.fullmatch(query.state or ""):
            self._keep(response, cookie, "", CALLBACK_PATH)
        return response

    def _refusal(self, error: Exception, wanted: LoginQuery) -> Response:
        """Return the refusal as a page for a browser, as JSON for a program."""
        reply, pages = reply_for(error), self._pages
        if pages is not None and reply is not INTERNAL:
            return self._form(pages, message_of(error, reply), wanted, reply)
        if reply.status < SERVER_ERROR:
            return response_to(error)
        raise error

    async def _finished(self, query: AuthorizationResponse, attempt: SecretStr | None) -> Response:
        signed_in, return_to = await self._oauth().finish(query, attempt, by=over_http)
        did = signed_in.account.did
        tokens = await run_in_threadpool(
            put_active_first, self.request, self.services, signed_in.token, did, ends_older=True
        )
        response = RedirectResponse(return_to, 303)
        set_session(response, self.services, tokens)
        return response

    def _asked(self, query: AuthorizationResponse, attempt: SecretStr | None) -> LoginQuery:
        """Return the query that started the attempt, with which the person may start again."""
        oauth = self.services.oauth
        asked = oauth.attempted(query.state, attempt) if oauth is not None else None
        if asked is None:
            return LoginQuery()
        return LoginQuery(handle=asked.identifier, return_to=asked.return_to, scope=asked.scope.value)

    @property
    def _pages(self) -> SignInPages | None:
        """Return the pages, if the caller is a browser, which accepts HTML; None for programs, and where there are no pages."""
        pages: SignInPages | None = self.request.app.state.sign_in_pages
        return pages if "text/html" in self.request.headers.get("accept", "") else None

    def _is_started_here(self, wanted: LoginQuery) -> bool:
        """Whether our form, a page of CORS_ORIGINS, a typed address or a program starts the sign-in.

        Otherwise any link, also one that an artist writes on our own pages, could sign the browser in with an account of its
        author, and so end the sessions in it.
        """
        site, proof = self.request.headers.get("sec-fetch-site"), self._proof()
        # another host of our domain may set a cookie here, but its pages are not of the same origin
        if (
            site in {None, "same-origin"}
            and proof is not None
            and secrets.compare_digest(proof.encode(), wanted.proof.encode())
        ):
            return True
        referer = self.request.headers.get("referer", "")
        listed = set(self.services.cors_origins) - {self.services.base_url}
        if any(f"{referer}/".startswith(f"{origin}/") for origin in listed):
            return True
        return self._pages is None if site is None else site == "none"

    def _form(
        self, pages: SignInPages, message: str, wanted: LoginQuery, refusal: Reply | None = None
    ) -> Response:
        """Return the sign-in page, whose form repeats what was wanted, and the cookie that confirms it; tabs share it."""
        asked = wanted.model_dump(exclude_defaults=True, exclude={"proof"})
        proof = self._proof() or secrets.token_urlsafe(32)
        page = pages.form(
            message, {name: str(value) for name, value in asked.items()} | {"proof": proof}, refusal
        )
        self._keep(page, FORM_COOKIE, proof, LOGIN_PATH, samesite="strict")
        return page

    def _proof(self) -> str | None:
        """Return what a sign-in page in this browser carries: browsers send its cookie only from our own pages."""
        found = self._cookie(FORM_COOKIE)
        return found if PROOF.fullmatch(found) else None

    def _cookie(self, name: str) -> str:
        return self.request.cookies.get(self._prefix + name, "")

    def _keep(
        self, response: Response, name: str, value: str, path: str, samesite: Literal["lax", "strict"] = "lax"
    ) -> None:
        name = self._prefix + name
        keep_cookie(response, self.services, name, value, SIGN_IN_TTL, path=path, samesite=samesite)

    @property
    def _prefix(self) -> str:
        return "__Secure-" if is_https(self.services) else ""

    def _oauth(self) -> OAuthSignIn:
        if self.services.oauth is None:
            raise SignInUnavailableError
        return self.services.oauth

    def _return_to(self, wanted: str) -> str:
        """Return the address to return to; raises InvalidFieldError unless it is ours or of CORS_ORIGINS."""
        path = wanted.startswith("/") and not wanted.startswith("//")
        origins = self.services.cors_origins
        there = any(wanted == origin or wanted.startswith(f"{origin}/") for origin in origins)
        # browsers read a backslash as a slash, and skip unprintable characters
        if not (path or there) or "\\" in wanted or not (wanted.isascii() and wanted.isprintable()):
            raise InvalidFieldError("return_to", "must be a path here, or an address of CORS_ORIGINS")
        return wanted


def _confidential(services: Services) -> OAuthApp:
    if services.oauth is None or not services.oauth.app.keys:
        raise NotAConfidentialClientError
    return services.oauth.app
