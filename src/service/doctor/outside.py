"""Checks outside the database: media store, disks, PDSes, the PLC directory, clocks."""

import asyncio
import io
import secrets
import shutil
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx
import sqlalchemy as sa

from eventstore.sql.database import Database
from identity.errors import IdentityError
from outbox.mirror.tables import mirror_lane, pds_host
from service.config.settings import Settings
from service.doctor.checks import Check, Checks, CheckState, check, utc
from service.wiring.identity import pds_http_client, resolver_of
from service.wiring.log import media_store
from storage import errors
from storage.cid import cid_of, new_key
from storage.errors import existing, free_bytes

WARN, FAIL = CheckState.WARN, CheckState.FAIL
MAX_HOSTS: Final = 50
"""The hosts with the most accounts."""
MAX_CONCURRENT_REQUESTS: Final = 8
RESPONSE_TIMEOUT_SECONDS: Final = 5.0
CLOCK_WARN: Final = timedelta(seconds=5)
CLOCK_FAIL: Final = timedelta(minutes=5)
AWAY: Final = (
    "its accounts wait, others are not affected; nothing to do here: the relay tries again by itself"
)
FAILS: Final = "`mastertape failures` says why; the relay tries again by itself"
HEALTH: Final = "/xrpc/_health"
MEGABYTE: Final = 2**20


def store(settings: Settings) -> Checks:
    probe = b"mastertape doctor " + secrets.token_bytes(16)
    key = new_key(cid_of(probe))
    opened = media_store(settings)
    opened.write(key, io.BytesIO(probe), len(probe), "application/octet-stream")
    try:
        is_same = b"".join(opened.read(key)) == probe
    finally:
        opened.delete(key)
    works = is_same and opened.size(key) is None
    fails = "does not return what was written, or keeps what was deleted"
    found = f"{settings.media} {'can be written, read and deleted from' if works else fails}"
    yield check("media store", found, (FAIL, not works, "look at the store"))


def disks(settings: Settings) -> Checks:
    by_disk = {existing(folder).stat().st_dev: folder for folder in reversed(settings.folders)}
    for folder in by_disk.values():
        free, total = free_bytes(folder), shutil.disk_usage(existing(folder)).total
        yield check(
            f"disk of {folder}",
            f"{free // MEGABYTE} of {total // MEGABYTE} MiB are free",
            (FAIL, free < errors.MIN_FREE_BYTES, "make room: nothing can be written"),
            (WARN, free < errors.LOW_FREE_BYTES, "make room soon"),
        )


def clock_of(database: Database) -> Checks:
    with database.read() as connection:
        there = database.now(connection)
    yield _clock("clock of the database", there)


def pdses(database: Database, settings: Settings, away: set[str]) -> Checks:
    """Check that the PDSes respond and agree on the time, and that the directory resolves one account.

    Adds the origins of those that do not answer to `away`.
    """
    lane, host = mirror_lane.c, pds_host.c
    busiest = (
        sa.select(
            lane.host,
            host.failing_since,
            host.first_error,
            sa.func.max(lane.last_success_at).label("last_success_at"),
            sa.func.min(lane.did).label("did"),
        )
        .outerjoin(pds_host, host.host == lane.host)
        .where(lane.host != "")
        .group_by(lane.host, host.failing_since, host.first_error)
        .order_by(sa.func.count().desc(), lane.host)
    )
    with database.read() as connection:
        hosts = connection.execute(busiest.limit(MAX_HOSTS)).all()

    async def ask() -> list[Check]:
        limit = asyncio.Semaphore(MAX_CONCURRENT_REQUESTS)
        async with pds_http_client(settings) as http:

            async def one(host: Any) -> list[Check]:
                async with limit:
                    return await _host(http, host, away)

            found = [each for checks in await asyncio.gather(*map(one, hosts)) for each in checks]
            if hosts:
                error = None
                try:
                    await resolver_of(settings, http).did_document(hosts[0].did)
                except IdentityError as raised:
                    error = str(raised)
                to_do = "new accounts cannot sign in, and accounts that moved are not found"
                found.append(check("directory", error or "knows where accounts are", (WARN, error, to_do)))
            return found

    yield from asyncio.run(ask())


async def _host(http: httpx.AsyncClient, host: Any, away: set[str]) -> list[Check]:
    name, since = f"PDS {host.host}", ""
    if host.failing_since is not None:
        since += f"; failing since {utc(host.failing_since)}"
    if host.first_error is not None:
        since += f", at first with: {host.first_error}"
    if host.last_success_at is not None:
        since += f"; last success {utc(host.last_success_at)}"
    try:
        reply = await http.get(host.host + HEALTH, timeout=RESPONSE_TIMEOUT_SECONDS)
        problem = f"answers {reply.status_code}" if reply.is_server_error else None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        problem = f"does not answer: {str(error) or type(error).__name__}"
    if problem is not None:
        away.add(host.host)
        return [check(name, problem + since, (WARN, True, AWAY))]
    fails = host.failing_since is not None
    found = [
        check(name, f"answers, but not to deliveries{since}" if fails else "answers", (WARN, fails, FAILS))
    ]
    with suppress(KeyError, ValueError):
        found.append(_clock(f"clock of {host.host}", parsedate_to_datetime(reply.headers["date"])))
    return found


def _clock(name: str, there: datetime) -> Check:
    ahead = there - datetime.now(UTC)
    return check(
        name,
        f"{ahead.total_seconds():+.1f} s compared with this machine's",
        (FAIL, abs(ahead) > CLOCK_FAIL, "synchronize the clocks with NTP: tokens are refused because of it"),
        (WARN, abs(ahead) > CLOCK_WARN, "set the clocks by NTP"),
    )
