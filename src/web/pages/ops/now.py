"""The first screen: how all is in one sentence, with its age, and all that waits, with what to do about it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, Depends, Response

from api.auth.authentication import operator
from api.responses.states import MirrorReason, MirrorState
from api.routers.history import AuditQuery, audit_entries
from api.routers.ops.deliveries import FailuresQuery, HostsQuery, read_failures, read_hosts
from api.routers.ops.work import read_overview
from web.ask import OperatorAsk, PageRoute
from web.pages.ops.words import OPERATOR_ACTED, ShowDep
from web.state_words import BY_REASON, Mark, about_host, about_wait, record_words

router = APIRouter(route_class=PageRoute, include_in_schema=False, dependencies=[Depends(operator)])


@dataclass(frozen=True)
class Health:
    """The sentence, the colour of its mark, since when it is so, and what to do."""

    tone: str
    sentence: str
    since: str | None = None
    since_words: str = "Since"
    advice: str | None = None


def health(overview: Mapping[str, Any], first: Mapping[str, Any] | None) -> Health:
    """Return how all is; `first` is the host that fails the longest."""
    parked = {each["reason"]: each for each in overview["waits"] if each["state"] == MirrorState.PARKED}
    since = {reason: wait["since"] for reason, wait in parked.items()}
    if overview["problem"]:
        waits_since = overview["oldest_pending_at"] or since.get(MirrorReason.RESTORED)
        return Health("bad", overview["problem"], waits_since, "The first change waits since")
    if first is not None:
        others = overview["failing_hosts"] - 1
        more = f", and {others:,} more" if others > 0 else ""
        if first["paused"]:
            words = f"{first['host']} is paused{more}.", since.get(MirrorReason.PAUSED)
            return Health("wait", *words, "The first record waits since", about_host(first))
        sentence = f"{first['host']} does not answer as it should{more}."
        return Health("bad", sentence, first["failing_since"], advice=about_host(first))
    if not overview["waits"]:
        return Health("good", "All is well. Records reach their PDSes.")
    waiting, ready = sum(each["accounts"] for each in parked.values()), overview["ready_accounts"]
    some = "Deliveries" if waiting <= ready else "Few deliveries" if ready else "No deliveries"
    records = sum(each["records"] for each in overview["waits"])
    is_for_artists = all(
        each["state"] == MirrorState.PARKED and BY_REASON[each["reason"]].mark is Mark.WAITING
        for each in overview["waits"]
    )
    return Health(
        "good" if waiting <= ready and is_for_artists else "wait",
        f"{some} go through; {records:,} record{' waits' if records == 1 else 's wait'}.",
        min((each["since"] for each in overview["waits"] if each["since"]), default=None),
        "Since" if records == 1 else "The first since",
    )


CAUSES: Final = 5
HOSTS: Final = 10
LATEST: Final = 10


@router.get("/ops")
async def show_now(ask: OperatorAsk, show: ShowDep) -> Response:
    """Health in one sentence with its age, what waits, the newest causes of failures, and what operators did lately."""
    overview, hosts, causes, actions = await asyncio.gather(
        ask(read_overview),
        ask(read_hosts, HostsQuery(failing=True, limit=HOSTS)),
        ask(read_failures, FailuresQuery(by="cause", limit=CAUSES)),
        ask(audit_entries, AuditQuery(type=OPERATOR_ACTED, limit=LATEST)),
    )
    failing = hosts["items"]
    return await show(
        "ops/now.html",
        overview=overview,
        health=health(overview, next(iter(failing), None)),
        waits=[
            {**each, "words": record_words(each), "advice": about_wait(each)} for each in overview["waits"]
        ],
        failing=failing,
        has_more_failing=hosts["cursor"] is not None,
        causes=causes["causes"],
        audit=actions["items"],
    )
