"""Forms of the account menu: switch to another account that is signed in here, sign out."""

from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from web.forms import Api, ApiDep, form_of
from web.page_route import PageRoute

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.post("/accounts/switch")
async def switch(request: Request, api: ApiDep) -> Response:
    form = await form_of(request)
    return await _then("/studio", api, "/auth/switch", {"did": form.get("did", "")})


@router.post("/accounts/sign-out")
async def sign_out(request: Request, api: ApiDep) -> Response:
    """Sign out every account of this browser, or that of `did`."""
    form = await form_of(request)
    return await _then("/", api, "/auth/logout", {"did": form["did"]} if form.get("did") else {})


async def _then(address: str, api: Api, path: str, fields: dict[str, str]) -> Response:
    answer = await api.send("POST", path, fields)
    response = RedirectResponse(address, HTTPStatus.SEE_OTHER)
    for cookie in answer.headers.getlist("set-cookie"):
        response.headers.append("set-cookie", cookie)
    return response
