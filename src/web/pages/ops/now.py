"""The first screen: is all well, and if not, what, since when, and how much waits for it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, Depends, Response

from api.auth.authentication import operator
from api.responses.states import MirrorState
from web.api_client import ApiDep
from web.page_route import PageRoute
from web.pages.ops.advice import about_host
from web.pages.ops.audit_words import entries, names_in
from web.pages.ops.handles import handles_of
from web.rendering import RenderDep

router = APIRouter(route_class=PageRoute, include_in_schema=False, dependencies=[Depends(operator)])

CAUSES: Final = 5
HOSTS: Final = 10
LATEST: Final = 10
WAITS_FOR_PERSON: Final = (MirrorState.HELD, MirrorState.DETACHED, MirrorState.REJECTED)
ARTISTS_DECIDE: Final = (
    "Their artists decide about them. What the PDS refused can be redriven once it takes it."
)
ACTION: Final = "OperatorActed"


@dataclass(frozen=True)
class Health:
    """One sentence on how all is, the colour of its mark, since when it is so, and what to do."""

    tone: str
    sentence: str
    since: str | None = None
    advice: str | None = None


@router.get("/ops")
async def show_now(api: ApiDep, render: RenderDep) -> Response:
    """Health in one sentence with its reason and age, the newest causes of failures, and what operators did lately."""
    overview, hosts, causes, actions = await asyncio.gather(
        api.read("/ops/overview"),
        api.read("/ops/hosts", failing="true", limit=HOSTS),
        api.read("/ops/failures", by="cause", limit=CAUSES),
        api.read("/audit", type=ACTION, limit=LATEST),
    )
    failing = hosts["items"]
    return render(
        "ops/now.html",
        overview=overview,
        health=health(overview, next(iter(failing), None)),
        failing=failing,
        has_more_failing=hosts["cursor"] is not None,
        causes=causes["causes"],
        actions=entries(actions["items"], await handles_of(api, names_in(actions["items"]))),
    )


def health(overview: Mapping[str, Any], first: Mapping[str, Any] | None) -> Health:
    """Return how all is; `first` is the host that fails the longest."""
    if overview["problem"]:
        return Health("bad", overview["problem"])
    if first is not None:
        more = overview["failing_hosts"] - 1
        others = f", and {more:,} more" if more > 0 else ""
        what = "is paused" if first["paused"] else "does not answer as it should"
        tone, since = ("wait", None) if first["paused"] else ("bad", first["failing_since"])
        return Health(tone, f"{first['host']} {what}{others}.", since, about_host(first))
    if any(overview["records"].get(state) for state in WAITS_FOR_PERSON):
        return Health("wait", "Deliveries work. Some records wait for a person.", advice=ARTISTS_DECIDE)
    return Health("good", "All is well. Records reach their PDSes.")
