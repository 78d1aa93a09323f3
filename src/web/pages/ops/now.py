"""The first screen: is all well, and if not, what, since when, and how much waits for it."""

import asyncio
from typing import Final

from fastapi import APIRouter, Depends, Response

from api.auth.authentication import operator
from api.routers.audit import AuditQuery, audit_entries
from api.routers.ops.deliveries import FailuresQuery, HostsQuery, read_failures, read_hosts
from api.routers.ops.overview import read_overview
from web.ask import OperatorAsk
from web.page_route import PageRoute
from web.pages.ops.audit_words import entries, names_in
from web.pages.ops.handles import handles_of
from web.pages.ops.health import health
from web.rendering import RenderDep

router = APIRouter(route_class=PageRoute, include_in_schema=False, dependencies=[Depends(operator)])

CAUSES: Final = 5
HOSTS: Final = 10
LATEST: Final = 10
ACTION: Final = "OperatorActed"


@router.get("/ops")
async def show_now(ask: OperatorAsk, render: RenderDep) -> Response:
    """Health in one sentence with its reason and age, the newest causes of failures, and what operators did lately."""
    overview, hosts, causes, actions = await asyncio.gather(
        ask(read_overview),
        ask(read_hosts, HostsQuery(failing=True, limit=HOSTS)),
        ask(read_failures, FailuresQuery(by="cause", limit=CAUSES)),
        ask(audit_entries, AuditQuery(type=ACTION, limit=LATEST)),
    )
    failing = hosts["items"]
    return render(
        "ops/now.html",
        overview=overview,
        health=health(overview, next(iter(failing), None)),
        failing=failing,
        has_more_failing=hosts["cursor"] is not None,
        causes=causes["causes"],
        actions=entries(actions["items"], await handles_of(ask, names_in(actions["items"]))),
    )
