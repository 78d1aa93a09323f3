"""The pages of a sign-in, as `api.routers.oauth` asks for them, and the forms of the account menu."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from fastapi import APIRouter, Response
from fastapi.responses import RedirectResponse

from api.routers.oauth import Refusal
from api.services import Services
from web.ask import PageRoute
from web.forms import Api, ApiDep, FormDep
from web.rendering import rendered

router = APIRouter(route_class=PageRoute, include_in_schema=False)

STUDIO = "/studio"
"""Where a person who signs in on the page goes, if nothing else was asked for."""
AS_IT_IS: Final = "{message}."
REFUSALS: Final = {
    "bad_credentials": (
        "We found no such account",
        "{message}. Check the spelling: a handle is the name with an @ on a profile, and has a dot in it.",
    ),
    "access_denied": (
        "You said no",
        "You declined at your PDS, so no account was signed in. Start again whenever you like.",
    ),
    "sign_in_state": (
        "This sign-in is over",
        "It was started in another browser or too long ago, or it is finished already. Start again here.",
    ),
    "account_inactive": (
        "This account is not active",
        "It is deactivated or taken down at its PDS. Reactivate it there, then sign in here.",
    ),
    "identity_unreachable": (
        "Your PDS did not answer",
        "The account's PDS, or the directory that says where it is, did not answer properly. Nothing was changed; try again later.",
    ),
    "sign_in_refused": ("Your PDS refused", AS_IT_IS),
    "scope_refused": ("Your PDS grants too little", AS_IT_IS),
    "sign_in_unavailable": (
        "Sign-in is not set up",
        "The operator of this service has yet to give it an address that a PDS can send you back to.",
    ),
}
"""What a person reads for the code of an error: a title, and words around or instead of the API's own, which are for programs."""
OTHERWISE: Final = ("That did not work", AS_IT_IS)


class WebSignInPages:
    def __init__(self, services: Services) -> None:
        self._services = services

    def form(self, message: str, asked: Mapping[str, str], refusal: Refusal | None = None) -> Response:
        kept = {name: asked[name] for name in ("scope", "return_to", "proof") if name in asked}
        title, words = REFUSALS.get(refusal.code, OTHERWISE) if refusal else ("Sign in", AS_IT_IS)
        return rendered(
            "sign_in.html",
            self._services,
            refusal.status if refusal else HTTPStatus.OK,
            title=title,
            message=words.format(message=message.rstrip(".")),
            handle=asked.get("handle", ""),
            kept={"return_to": STUDIO} | kept,
            is_refusal=refusal is not None,
        )

    def onward(self, url: str) -> Response:
        return rendered("onward.html", self._services, url=url, host=urlsplit(url).netloc)


@router.post("/accounts/switch")
async def switch(form: FormDep, api: ApiDep) -> Response:
    return await _then("/studio", api, "/auth/switch", {"did": form.get("did", "")})


@router.post("/accounts/sign-out")
async def sign_out(form: FormDep, api: ApiDep) -> Response:
    """Sign out every account of this browser, or that of `did`."""
    return await _then("/", api, "/auth/logout", {"did": form["did"]} if form.get("did") else {})


async def _then(address: str, api: Api, path: str, fields: dict[str, str]) -> Response:
    answer = await api.send("POST", path, fields)
    response = RedirectResponse(address, HTTPStatus.SEE_OTHER)
    for cookie in answer.headers.getlist("set-cookie"):
        response.headers.append("set-cookie", cookie)
    return response
