"""Hosts: report verdicts of theirs, and read their rows and breakers."""

from typing import Any

import httpx
from sqlalchemy import select

from eventstore.sql.database import Database
from outbox.mirror.hosts import HostReport, Hosts, breaker_state
from outbox.mirror.states import BreakerState
from outbox.mirror.tables import pds_host
from outbox.pds.verdict import verdict_of_exception, verdict_of_reply
from tests.outbox.rigs.rows import HOST

ONE, OTHER = "did:plc:one", "did:plc:other"
FAILED = verdict_of_exception(httpx.ReadTimeout("nothing was heard"))


def limited(left: int, policy: str | None, *, limit: int = 3000, status: int = 200) -> httpx.Response:
    headers = {
        "RateLimit-Limit": f"{limit}",
        "RateLimit-Remaining": f"{left}",
        "RateLimit-Reset": "90",
        **({"RateLimit-Policy": policy} if policy is not None else {}),
    }
    return httpx.Response(
        status, json={"error": "RateLimitExceeded"} if status == 429 else {}, headers=headers
    )


PAUSED = verdict_of_reply(limited(0, "3000;w=300", status=429))


def report_verdicts(database: Database, *words: tuple[str, Any]) -> None:
    for did, verdict in words:
        Hosts(database).record(HostReport.of(HOST, did, verdict))


def host_row(database: Database, host: str = HOST) -> Any:
    with database.read() as connection:
        return connection.execute(select(pds_host).where(pds_host.c.host == host)).one()


def state(database: Database) -> str:
    with database.read() as connection:
        return breaker_state(host_row(database), database.now(connection))


def opened(database: Database) -> None:
    report_verdicts(database, *[(did, FAILED) for did in (ONE, OTHER, ONE, OTHER, ONE)])
    assert state(database) == BreakerState.OPEN
