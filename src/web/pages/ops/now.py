"""The first screen: how all is in one sentence, with its reason and its age, and how much waits for it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, Depends, Response

from api.auth.authentication import operator
from api.responses.states import LaneState, MirrorReason, MirrorState, VerdictKind
from api.routers.history import AuditQuery, audit_entries
from api.routers.ops.deliveries import FailuresQuery, HostsQuery, read_failures, read_hosts
from api.routers.ops.overview import read_overview
from web.ask import OperatorAsk
from web.page_route import PageRoute
from web.pages.ops.words import OPERATOR_ACTED, ShowDep
from web.state_words import ABOUT_KIND, BY_ITSELF, BY_REASON, about_host

router = APIRouter(route_class=PageRoute, include_in_schema=False, dependencies=[Depends(operator)])

Wait = Mapping[str, Any]
"""A row of what waits, as the API answers it."""
Found = Mapping[tuple[str, str | None], Wait]
MOST_NAMED: Final = 3
"""Kinds of waits that the sentence names; all are counted below it."""
ARTISTS_DECIDE: Final = "Nothing: their artists decide about them."


@dataclass(frozen=True)
class Health:
    """The sentence, the colour of its mark, since when it is so, and what to do."""

    tone: str
    sentence: str
    since: str | None = None
    since_words: str = "Since"
    advice: str | None = None


@dataclass(frozen=True)
class WaitWords:
    """What the sentence says of so many accounts or records that wait; of what is `calm`, artists alone can take care."""

    one: str
    many: str
    advice: str
    counts: str = "records"
    is_calm: bool = False

    def of(self, wait: Wait) -> str:
        count = wait[self.counts]
        return (self.one if count == 1 else self.many).format(f"{count:,}")


def _accounts(one: str, many: str, advice: str, *, is_calm: bool = False) -> WaitWords:
    return WaitWords(f"{{}} account {one}", f"{{}} accounts {many}", advice, "accounts", is_calm)


WAITS: Final[Mapping[tuple[str, str | None], WaitWords]] = {
    (MirrorState.PARKED, MirrorReason.RESTORED): _accounts(
        "waits to be compared after a restore",
        "wait to be compared after a restore",
        BY_REASON[MirrorReason.RESTORED].advice,
    ),
    (MirrorState.PARKED, MirrorReason.PAUSED): _accounts(
        "is paused", "are paused", BY_REASON[MirrorReason.PAUSED].advice
    ),
    (MirrorState.REJECTED, None): WaitWords(
        "{} record is refused by its PDS",
        "{} records are refused by their PDSes",
        ABOUT_KIND[VerdictKind.REJECTED],
    ),
    (MirrorState.PARKED, LaneState.AUTH_REQUIRED): _accounts(
        "waits for its artist to sign in",
        "wait for their artists to sign in",
        ABOUT_KIND[VerdictKind.SIGN_IN],
        is_calm=True,
    ),
    (MirrorState.PARKED, LaneState.INACTIVE): _accounts(
        "is not active at its PDS",
        "are not active at their PDSes",
        ABOUT_KIND[VerdictKind.INACTIVE],
        is_calm=True,
    ),
    (MirrorState.PARKED, LaneState.FULL): _accounts(
        "is full at its PDS", "are full at their PDSes", ABOUT_KIND[VerdictKind.FULL], is_calm=True
    ),
    (MirrorState.PARKED, LaneState.GONE): _accounts(
        "is not found any more", "are not found any more", BY_REASON[LaneState.GONE].advice, is_calm=True
    ),
    (MirrorState.HELD, None): WaitWords(
        "{} record edited elsewhere waits for its artist",
        "{} records edited elsewhere wait for their artists",
        ARTISTS_DECIDE,
    ),
    (MirrorState.DETACHED, None): WaitWords(
        "{} record deleted elsewhere waits for its artist",
        "{} records deleted elsewhere wait for their artists",
        ARTISTS_DECIDE,
    ),
    (MirrorState.PENDING, None): WaitWords(
        "{} record failed and is tried again", "{} records failed and are tried again", BY_ITSELF
    ),
}
"""By the `state` and `reason` of what waits, what an operator can do something about first."""


def health(overview: Mapping[str, Any], first: Mapping[str, Any] | None) -> Health:
    """Return how all is; `first` is the host that fails the longest."""
    found = {(wait["state"], wait["reason"]): wait for wait in overview["waits"]}
    waits = [(words, found[which]) for which, words in WAITS.items() if which in found]
    if overview["problem"]:
        since = overview["oldest_pending_at"] or _parked_since(found, MirrorReason.RESTORED)
        return Health("bad", overview["problem"], since, "The first change waits since")
    if first is not None:
        return _of_host(first, overview["failing_hosts"] - 1, found)
    if waits:
        return _of_waits(waits, overview["ready_accounts"])
    return Health("good", "All is well. Records reach their PDSes.")


def _of_host(host: Mapping[str, Any], others: int, found: Found) -> Health:
    more = f", and {others:,} more" if others > 0 else ""
    if not host["paused"]:
        sentence = f"{host['host']} does not answer as it should{more}."
        return Health("bad", sentence, host["failing_since"], advice=about_host(host))
    sentence, since = f"{host['host']} is paused{more}.", _parked_since(found, MirrorReason.PAUSED)
    return Health("wait", sentence, since, "The first record waits since", about_host(host))


def _parked_since(found: Found, reason: MirrorReason) -> str | None:
    since: str | None = found.get((MirrorState.PARKED, reason), {}).get("since")
    return since


def _of_waits(waits: Sequence[tuple[WaitWords, Wait]], ready: int) -> Health:
    """Return the sentence of what waits although no host fails, calm where artists alone have to do something."""
    waiting = sum(wait["accounts"] for words, wait in waits if words.counts == "accounts")
    named = ", ".join(words.of(wait) for words, wait in waits[:MOST_NAMED])
    more = ", and more" if len(waits) > MOST_NAMED else ""
    some = "Deliveries" if waiting <= ready else "Few deliveries" if ready else "No deliveries"
    return Health(
        "good" if waiting <= ready and all(words.is_calm for words, _ in waits) else "wait",
        f"{some} go through; {named}{more}.",
        min((wait["since"] for _, wait in waits if wait["since"]), default=None),
        "Since" if sum(wait[words.counts] for words, wait in waits) == 1 else "The first since",
        waits[0][0].advice,
    )


CAUSES: Final = 5
HOSTS: Final = 10
LATEST: Final = 10


@router.get("/ops")
async def show_now(ask: OperatorAsk, show: ShowDep) -> Response:
    """Health in one sentence with its reason and age, the newest causes of failures, and what operators did lately."""
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
        failing=failing,
        has_more_failing=hosts["cursor"] is not None,
        causes=causes["causes"],
        audit=actions["items"],
    )
