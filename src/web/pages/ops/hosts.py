"""PDS hosts and the lanes of their accounts."""

from typing import Final

from fastapi import APIRouter, Depends, Response

from api.auth.authentication import operator
from api.responses.states import PROBED, LaneState, MirrorReason
from web.api_client import ApiDep
from web.page_route import PageRoute
from web.rendering import RenderDep

router = APIRouter(route_class=PageRoute, include_in_schema=False, dependencies=[Depends(operator)])

REASONS: Final = {state.value: state for state in (*LaneState, *MirrorReason)}
"""Why a lane waits: each says what it is, and what ends it."""
LOGINS: Final = {
    "signed_in": {"tone": "good", "words": "Signed in"},
    "expired": {"tone": "wait", "words": "Expired: it is renewed with the next request"},
    "ended": {"tone": "bad", "words": "Ended: its owner has to sign in again"},
    "none": {"tone": "wait", "words": "None: the account has not signed in here, or has left"},
}


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


@router.get("/ops/lanes/{did}")
async def show_lane(did: str, api: ApiDep, render: RenderDep) -> Response:
    """One account's lane: what waits, for what, until when, its login and its host."""
    lane = await api.read(f"/ops/lanes/{did}")
    return render(
        "ops/lane.html",
        lane=lane,
        records=lane["records"],
        reason=REASONS.get(lane["reason"]),
        works=LaneState.READY,
        probed=PROBED,
        login=LOGINS[lane["login"]["state"]],
    )
