"""The first screen: is all well, and if not, what, since when, and how much waits for it."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import APIRouter, Depends, Response

from api.auth.authentication import operator
from web.api_client import ApiDep
from web.page_route import PageRoute
from web.rendering import RenderDep

router = APIRouter(route_class=PageRoute, include_in_schema=False, dependencies=[Depends(operator)])

CAUSES: Final = 5
HOSTS: Final = 100
MOST_HOSTS_SHOWN: Final = 10
LATEST: Final = 10
WAITS_FOR_PERSON: Final = ("held", "detached", "rejected")
ACTION: Final = "OperatorActed"


@router.get("/ops")
async def show_now(api: ApiDep, render: RenderDep) -> Response:
    """Health in one sentence with its reason and age, the newest causes of failures, and what operators did lately."""
    overview, hosts, causes, actions = await asyncio.gather(
        api.read("/ops/overview"),
        api.read("/ops/hosts", failing="true", limit=HOSTS),
        api.read("/ops/failures", by="cause", limit=CAUSES),
        api.read("/audit", type=ACTION, limit=LATEST),
    )
    failing = sorted(hosts["items"], key=lambda host: host["failing_since"] or "9")
    return render(
        "ops/now.html",
        overview=overview,
        health=health(overview, failing, has_more=hosts["cursor"] is not None),
        failing=failing[:MOST_HOSTS_SHOWN],
        has_more_failing=len(failing) > MOST_HOSTS_SHOWN,
        causes=causes["causes"],
        actions=actions["items"],
    )


def health(
    overview: Mapping[str, Any], failing: Sequence[Mapping[str, Any]], *, has_more: bool = False
) -> Mapping[str, Any]:
    """Return the one sentence, its tone, and since when; of the failing hosts, the one that fails the longest comes first."""
    if overview["problem"]:
        return {"tone": "bad", "sentence": overview["problem"], "since": None}
    if failing:
        first = failing[0]
        at_least = "at least " if has_more else ""
        others = f", and {at_least}{len(failing) - 1} more" if len(failing) > 1 else ""
        what = "is paused" if first["paused"] else "does not answer as it should"
        return {
            "tone": "wait" if first["paused"] else "bad",
            "sentence": f"{first['host']} {what}{others}.",
            "since": first["failing_since"],
        }
    if any(overview["records"].get(state) for state in WAITS_FOR_PERSON):
        return {
            "tone": "wait",
            "sentence": "Deliveries work. Some records wait for a person.",
            "since": None,
        }
    return {"tone": "good", "sentence": "All is well. Records reach their PDSes.", "since": None}
