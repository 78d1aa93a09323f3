"""Rate limits that a PDS in memory answers with, and what they make of its host."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from outbox.mirror.hosts import PacedPds
from outbox.mirror.tables import pds_host
from outbox.pds.client import RecordKey
from tests.fake_pds.limits import Rule
from tests.fake_pds.signed_in_pds import SignedInPds
from tests.outbox.rigs.relay_rig import Rig
from tests.outbox.rigs.rows import HOST

RESET = timedelta(minutes=3)
BUDGET = {"ratelimit-limit": "3000", "ratelimit-reset": "180", "ratelimit-policy": "3000;w=300"}
OVER = (429, {"retry-after": "180"})
NEARLY = (200, {**BUDGET, "ratelimit-remaining": "10"})
REFUSED_AND_NEARLY = (400, NEARLY[1])
ERRORS = {
    400: "InvalidSwap",
    403: "Forbidden",
    429: "RateLimitExceeded",
    500: "InternalServerError",
    501: "MethodNotImplemented",
}
RateLimitReply = tuple[int, dict[str, str]]


def replies_with(
    pds: Any, monkeypatch: pytest.MonkeyPatch, call: str = "", told: RateLimitReply = (200, {})
) -> list[str]:
    """The PDS says this with its answers to a call; gives the names of all calls from now on."""
    assert isinstance(pds, SignedInPds)
    asked, as_it_is = list[str](), pds.answer
    status, headers = told

    def answer(request: httpx.Request, content: bytes) -> httpx.Response:
        asked.append(request.url.path.rsplit(".", 1)[1])
        if asked[-1] != call:
            return as_it_is(request, content)
        if status != 200:
            return httpx.Response(status, headers=headers, json={"error": ERRORS[status]})
        reply = as_it_is(request, content)
        reply.headers.update(headers)
        return reply

    monkeypatch.setattr(pds, "answer", answer)
    return asked


def limits(desk: Rig, rule: Rule, points: int) -> None:
    """The PDS counts by the rig's clock, and takes so many points by this rule."""
    assert isinstance(desk.pds, SignedInPds)
    desk.pds.clock = desk.pds.limits.clock = lambda: desk.clock().timestamp()
    desk.pds.limits.enabled, desk.pds.limits.points = True, {rule.name: points}


def paced_for(desk: Rig, host: str = HOST) -> timedelta:
    """How long the host is to be left alone."""
    with desk.database.read() as connection:
        row = connection.execute(select(pds_host).where(pds_host.c.host == host)).one()
        pause: timedelta = row.paced_until - desk.database.now(connection)
    return pause


def paced(desk: Rig) -> PacedPds:
    return desk._api  # noqa: SLF001


async def gets(pds: PacedPds, host: str, did: str) -> object:
    return await pds.get(host, RecordKey(did, "c", "r"))
