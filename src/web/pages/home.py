"""The front page."""

from fastapi import APIRouter, Response

from web.api_client import ApiDep
from web.page_route import PageRoute
from web.rendering import RenderDep

router = APIRouter(route_class=PageRoute, include_in_schema=False)

NEWEST = 12


@router.get("/")
async def show_home(api: ApiDep, render: RenderDep) -> Response:
    """What this is, where to sign in, and the newest public tracks."""
    newest = await api.read("/tracks", limit=NEWEST)
    return render("home.html", tracks=newest["items"])
