"""PDS hosts and the lanes of their accounts."""

from fastapi import APIRouter, Depends, Response

from api.auth.authentication import operator
from web.api_client import ApiDep
from web.page_route import PageRoute
from web.rendering import RenderDep

router = APIRouter(route_class=PageRoute, include_in_schema=False, dependencies=[Depends(operator)])


@router.get("/ops/hosts")
async def show_hosts(*, api: ApiDep, render: RenderDep, failing: bool = False, cursor: str = "") -> Response:
    """Each host: its breaker, since when it fails, its budget, and when its backlog is delivered."""
    found = await api.read("/ops/hosts", failing="true" if failing else None, cursor=cursor)
    return render("ops/hosts.html", hosts=found["items"], cursor=found["cursor"], failing=failing)


@router.get("/ops/lanes")
async def show_lanes(
    api: ApiDep, render: RenderDep, host: str = "", state: str = "", cursor: str = ""
) -> Response:
    """The lanes of accounts, at a host or in a state."""
    found = await api.read("/ops/lanes", host=host or None, state=state or None, cursor=cursor)
    return render("ops/lanes.html", lanes=found["items"], cursor=found["cursor"], host=host, state=state)
