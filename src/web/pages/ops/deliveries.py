"""What is not delivered, and why: by host, by lane, by cause and by record."""

import asyncio
from bisect import bisect_left
from typing import Any, Final

from fastapi import Response

from api.error_responses import error_response
from api.readers.console import read_deliveries
from api.responses.states import WITHIN_MS, MirrorState
from api.routers.ops.accounts import read_lane_of
from api.routers.ops.deliveries import (
    ACCOUNT,
    LANE_STATES,
    FailuresQuery,
    HostsQuery,
    LanesQuery,
    read_failures,
    read_hosts,
    read_lanes,
)
from identity.accounts.credentials import Principal
from web.ask import Ask, Json, OperatorAsk, wanted
from web.page import screens
from web.pages.ops.words import (
    AUDIO_REFUSED,
    RECORDS,
    WAITS,
    AskedDep,
    NamedAccount,
    ShowDep,
    about_cause,
    about_host,
    message_to_artists,
    rows_in_words,
    who_is_hit,
)
from web.state_words import BY_REASON

router = screens()

CAUSES: Final = 5
HIT_BY: Final = ("cause", "host", "state", "reason", "field", "did")
"""What the screen of those who are hit can be narrowed to, as that of records."""


async def host_named(ask: Ask[Principal], name: str | None) -> Json | None:
    hosts = (await ask(read_hosts, wanted(HostsQuery, host=name)))["items"] if name else []
    return next(iter(hosts), None)


async def causes_of(ask: Ask[Principal], **which: str | int) -> Any:
    return (await ask(read_failures, wanted(FailuresQuery, by="cause", **which)))["causes"]


@router.get("/ops/hosts")
async def show_hosts(ask: OperatorAsk, show: ShowDep, asked: AskedDep) -> Response:
    found = await ask(read_hosts, wanted(HostsQuery, **asked))
    return await show("ops/hosts.html", **found, failing=asked["failing"], about=about_host)


@router.get("/ops/lanes")
async def show_lanes(ask: OperatorAsk, show: ShowDep, asked: AskedDep) -> Response:
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
        typed=asked.typed,
        lane_states=LANE_STATES,
        pds=pds,
        causes=causes,
        about=about_host,
    )


@router.get("/ops/lanes/{did}")
async def show_lane(did: NamedAccount, ask: OperatorAsk, show: ShowDep) -> Response:
    lane = await ask(read_lane_of, did)
    return await show(
        "ops/lane.html",
        lane=lane,
        records=rows_in_words(lane["records"]),
        labels=RECORDS,
        reason=WAITS.get(lane["reason"]),
        words=BY_REASON.get(lane["reason"]),
        about=about_host,
    )


@router.get("/ops/deliveries")
async def show_deliveries(ask: OperatorAsk, show: ShowDep) -> Response:
    """How many records were delivered over time, and how fast, with when a release began to deliver."""
    found = await ask(read_deliveries)
    hours, begins = found["hours"], {at: release for release, at in found["releases"].items()}
    return await show(
        "ops/deliveries.html",
        hours=hours,
        releases=[(number, begins[hour["at"]]) for number, hour in enumerate(hours) if hour["at"] in begins],
        since=found["releases"],
        # a step for each time that is told apart
        speeds=[
            0 if hour["most_within_ms"] is None else 1 + bisect_left(WITHIN_MS, hour["most_within_ms"])
            for hour in hours
        ],
        worst=in_seconds(max((hour["most_within_ms"] or 0 for hour in hours), default=0) or None),
        within=in_seconds,
    )


def in_seconds(within_ms: int | None) -> str:
    if within_ms is None:
        return "none"
    return f"{within_ms / 1000:,g} s" if within_ms in WITHIN_MS else "more than a day"


@router.get("/ops/failures")
async def show_causes(ask: OperatorAsk, show: ShowDep, asked: AskedDep) -> Response:
    query = wanted(FailuresQuery, by="cause", host=asked["host"], cursor=asked["cursor"])
    return await show(
        "ops/causes.html",
        **await ask(read_failures, query),
        host=asked["host"],
        about=about_cause,
    )


@router.get("/ops/failures/{cause}")
async def show_cause(cause: str, ask: OperatorAsk, show: ShowDep, asked: AskedDep) -> Response:
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
        hit=who_is_hit(found[0]),
        pds=pds,
        records=rows_in_words(records["items"]),
        cursor=records["cursor"],
    )


@router.get("/ops/hit")
async def show_hit(ask: OperatorAsk, show: ShowDep, asked: AskedDep) -> Response:
    """The artists of the records that are not delivered for one cause or reason, or at one host, and what they can be told."""
    which = {name: asked[name] for name in HIT_BY if asked[name]}
    found, causes = await asyncio.gather(
        ask(read_failures, wanted(FailuresQuery, **which, by=ACCOUNT, cursor=asked["cursor"])),
        causes_of(ask, cause=which["cause"]) if "cause" in which else asyncio.sleep(0, ()),
    )
    cause = next(iter(causes), None)
    return await show(
        "ops/hit.html",
        accounts=found["accounts"],
        cursor=found["cursor"],
        which=which,
        cause=cause,
        message=message_to_artists(which, cause),
    )


STATES: Final = {**RECORDS, MirrorState.DELIVERED: AUDIO_REFUSED}
"""What the screen can be narrowed to: of delivered records it lists only those without their audio."""


@router.get("/ops/records")
async def show_records(ask: OperatorAsk, show: ShowDep, asked: AskedDep) -> Response:
    found = await ask(read_failures, wanted(FailuresQuery, **{**asked, "undelivered": True}))
    records = rows_in_words(found["items"])
    return await show(
        "ops/records.html",
        records=records,
        cursor=found["cursor"],
        states_shown=STATES,
        asked=asked,
    )
