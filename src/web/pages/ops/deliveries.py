"""What is not delivered, and why: by host, by lane, by cause and by record."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import APIRouter, Depends, Response

from api.auth.authentication import operator
from api.error_responses import error_response
from api.responses.states import PROBED, BreakerState, LaneState, LoginState, MirrorReason, MirrorState
from api.routers.history import AuditQuery, audit_entries
from api.routers.ops.accounts import AccountDid, read_lane_of
from api.routers.ops.deliveries import (
    LANE_STATES,
    FailuresQuery,
    HostsQuery,
    LanesQuery,
    read_failures,
    read_hosts,
    read_lanes,
)
from identity.accounts.credentials import Principal
from web.ask import Ask, OperatorAsk, PageRoute, wanted
from web.pages.ops.words import OPERATOR_ACTED, AskedDep, ShowDep, pause_of_host
from web.rendering import RenderDep
from web.state_words import AUDIO_REFUSED, BY_REASON, RECORDS, about_cause, about_host, rows_in_words

router = APIRouter(route_class=PageRoute, include_in_schema=False, dependencies=[Depends(operator)])

CAUSES: Final = 5
RECENT: Final = 100
"""Actions of operators among which a host's pause is looked for."""
REASONS: Final = {state.value: state for state in (*LaneState, *MirrorReason)}
"""Why a lane waits: each says what it is."""
TONES: Final[Mapping[LoginState, str]] = {LoginState.SIGNED_IN: "good", LoginState.ENDED: "bad"}
"""The colours of the marks of logins; of the others, `wait`."""
IN_VAIN: Final = (MirrorReason.PDS_AWAY, MirrorReason.BACKOFF)
"""Why a lane waits that can be tried again at once."""


async def host_named(ask: Ask[Principal], name: str | None) -> Mapping[str, Any] | None:
    """Return the host of this name as the API shows it; None where none is known."""
    hosts = (await ask(read_hosts, wanted(HostsQuery, host=name)))["items"] if name else []
    return next(iter(hosts), None)


async def causes_of(ask: Ask[Principal], **which: str | int) -> Sequence[Mapping[str, Any]]:
    """Return why requests fail, the cause met last first."""
    found: Sequence[Mapping[str, Any]] = (
        await ask(read_failures, wanted(FailuresQuery, by="cause", **which))
    )["causes"]
    return found


@router.get("/ops/hosts")
async def show_hosts(ask: OperatorAsk, show: ShowDep, asked: AskedDep) -> Response:
    """Each host: its breaker, since when it fails, its budget, and when its backlog is delivered."""
    found = await ask(read_hosts, wanted(HostsQuery, **asked))
    return await show("ops/hosts.html", **found, failing=asked["failing"], about=about_host)


@router.get("/ops/lanes")
async def show_lanes(ask: OperatorAsk, show: ShowDep, asked: AskedDep) -> Response:
    """The lanes of accounts, at a host or in a state; of a host, all that is known of it too."""
    host = asked["host"]
    found, pds, causes = await asyncio.gather(
        ask(read_lanes, wanted(LanesQuery, **asked)),
        host_named(ask, host),
        causes_of(ask, host=host, limit=CAUSES) if host else asyncio.sleep(0, ()),
    )
    return await show(
        "ops/lanes.html",
        **found,
        host=host,
        state=asked["state"],
        lane_states=LANE_STATES,
        pds=pds,
        audit=await _pause(ask, pds),
        causes=causes,
        about=about_host,
    )


@router.get("/ops/lanes/{did}")
async def show_lane(did: AccountDid, ask: OperatorAsk, render: RenderDep) -> Response:
    """One account's lane: what waits, for what, until when, its login and its host."""
    lane = await ask(read_lane_of, did)
    login, words = LoginState(lane["login"]["state"]), BY_REASON.get(lane["reason"])
    return render(
        "ops/lane.html",
        lane=lane,
        records=rows_in_words(lane["records"]),
        labels=RECORDS,
        reason=REASONS.get(lane["reason"]),
        works=LaneState.READY,
        probed=PROBED,
        advice=words.advice if words else "Nothing: the relay delivers by itself.",
        signs_in=words is not None and words.signs_in,
        actions=_actions(lane),
        login=login,
        tone=TONES.get(login, "wait"),
        has_ended=login is LoginState.ENDED,
        about=about_host,
    )


async def _pause(ask: Ask[Principal], pds: Mapping[str, Any] | None) -> Sequence[Mapping[str, Any]]:
    """Return the entry of the audit by which a paused host was paused, where a recent one did it."""
    if pds is None or not pds["paused"]:
        return ()
    recent = await ask(audit_entries, AuditQuery(type=OPERATOR_ACTED, limit=RECENT))
    return pause_of_host(recent["items"], pds["host"])


def _actions(lane: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """Return the actions that would change something, each with what it is called."""
    is_at_paused_host = lane["pds"] is not None and lane["pds"]["paused"]
    is_held_by_host = lane["pds"] is not None and lane["pds"]["breaker"] == BreakerState.OPEN
    can_be_looked_for = lane["reason"] in {*PROBED, LaneState.GONE} and lane["host"] is not None
    offered = (
        ("resume", "Resume", lane["paused"] and not is_at_paused_host),
        ("retry", "Try again now", lane["reason"] in IN_VAIN and lane["waiting"] and not is_held_by_host),
        ("probe", "Look for it", can_be_looked_for),
        ("redrive", "Redrive its failures", any(record["cause"] for record in lane["records"])),
        ("pause", "Pause", not lane["paused"]),
    )
    return [(action, words) for action, words, acts in offered if acts]


@router.get("/ops/failures")
async def show_causes(ask: OperatorAsk, show: ShowDep, asked: AskedDep) -> Response:
    """Why requests fail, the cause met last first."""
    query = wanted(FailuresQuery, by="cause", host=asked["host"], cursor=asked["cursor"])
    return await show(
        "ops/causes.html",
        **await ask(read_failures, query),
        host=asked["host"],
        about=about_cause,
    )


@router.get("/ops/failures/{cause}")
async def show_cause(cause: str, ask: OperatorAsk, show: ShowDep, asked: AskedDep) -> Response:
    """One cause: since when, how often, a sample, and the records that it keeps from their PDS."""
    found = await causes_of(ask, cause=cause)
    if not found:
        return error_response(404, "not_found", "There is no such cause. It may have been forgotten since.")
    records, pds = await asyncio.gather(
        ask(read_failures, wanted(FailuresQuery, cause=cause, cursor=asked["cursor"])),
        host_named(ask, found[0]["host"]),
    )
    return await show(
        "ops/cause.html",
        cause=found[0],
        advice=about_cause(found[0]),
        pds=pds,
        records=rows_in_words(records["items"]),
        cursor=records["cursor"],
    )


STATES: Final = {**RECORDS, MirrorState.DELIVERED: AUDIO_REFUSED}
"""What the screen can be narrowed to: of delivered records it lists only those without their audio."""


@router.get("/ops/records")
async def show_records(ask: OperatorAsk, show: ShowDep, asked: AskedDep) -> Response:
    """Every record that is not delivered, of an account, a host or a state."""
    found = await ask(read_failures, wanted(FailuresQuery, **{**asked, "undelivered": True}))
    records = rows_in_words(found["items"])
    return await show(
        "ops/records.html",
        records=records,
        cursor=found["cursor"],
        states_shown=STATES,
        asked=asked,
    )
