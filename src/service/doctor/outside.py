"""Checks outside the database: media store, disks, PDSes, the PLC directory, clocks."""

import asyncio
import io
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

import httpx
from sqlalchemy import func, select

from eventstore.database import Database
from identity.errors import IdentityError
from identity.resolution.resolver import Resolver
from outbox.mirror.tables import mirror_lane, pds_host
from service.config.settings import Settings
from service.doctor.checks import Check, Checks, fail, ok, utc, warn
from service.wiring.identity import pds_http_client, resolver_of
from service.wiring.log import media_store
from storage import disk_errors
from storage.cid import cid_of, new_key
from storage.disk_errors import existing, free_bytes

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
    """Check that the media store can write, read and delete."""
    probe = b"mastertape doctor " + secrets.token_bytes(16)
    key = new_key(cid_of(probe))
    opened = media_store(settings)
    opened.write(key, io.BytesIO(probe), len(probe), "application/octet-stream")
    try:
        is_same = b"".join(opened.read(key)) == probe
    finally:
        opened.delete(key)
    if is_same and opened.size(key) is None:
        yield ok("media store", f"{settings.media} can be written, read and deleted from")
    else:
        yield fail(
            "media store",
            f"{settings.media} does not return what was written, or keeps what was deleted",
            "look at the store",
        )


def disks(settings: Settings) -> Checks:
    """Check the free space of each disk."""
    by_disk = {existing(folder).stat().st_dev: folder for folder in reversed(settings.folders)}
    for folder in by_disk.values():
        free, total = free_bytes(folder), shutil.disk_usage(existing(folder)).total
        found = f"{free // MEGABYTE} of {total // MEGABYTE} MiB are free"
        if free < disk_errors.MIN_FREE_BYTES:
            yield fail(f"disk of {folder}", found, "make room: nothing can be written")
        elif free < disk_errors.LOW_FREE_BYTES:
            yield warn(f"disk of {folder}", found, "make room soon")
        else:
            yield ok(f"disk of {folder}", found)


def clock_of(database: Database) -> Checks:
    """Check the database's clock against this machine's."""
    with database.read() as connection:
        there = database.now(connection)
    yield _clock("clock of the database", there - datetime.now(UTC))


@dataclass(frozen=True)
class KnownHost:
    """A PDS, and what deliveries have shown of it."""

    origin: str
    failing_since: datetime | None
    first_error: str | None
    last_success_at: datetime | None

    @property
    def since(self) -> str:
        """Since when it fails, and why at first, as far as deliveries show."""
        said = ""
        if self.failing_since is not None:
            said += f"; failing since {utc(self.failing_since)}"
        if self.first_error is not None:
            said += f", at first with: {self.first_error}"
        if self.last_success_at is not None:
            said += f"; last success {utc(self.last_success_at)}"
        return said


def hosts(database: Database) -> Sequence[KnownHost]:
    """Return the PDSes with the most accounts."""
    lane, host = mirror_lane.c, pds_host.c
    busiest = (
        select(
            lane.host,
            host.failing_since,
            host.first_error,
            func.max(lane.last_success_at).label("last_success_at"),
        )
        .outerjoin(pds_host, host.host == lane.host)
        .where(lane.host != "")
        .group_by(lane.host, host.failing_since, host.first_error)
        .order_by(func.count().desc(), lane.host)
    )
    with database.read() as connection:
        rows = connection.execute(busiest.limit(MAX_HOSTS)).all()
    return [KnownHost(*row) for row in rows]


def outside(settings: Settings, known: Sequence[KnownHost], did: str | None, away: set[str]) -> Checks:
    """Check that the PDSes respond and agree on the time, and that the directory resolves one account.

    Adds the origins of those that do not answer to `away`.
    """
    return iter(asyncio.run(_outside(settings, known, did, away)))


async def _outside(
    settings: Settings, known: Sequence[KnownHost], did: str | None, away: set[str]
) -> list[Check]:
    limit = asyncio.Semaphore(MAX_CONCURRENT_REQUESTS)
    async with pds_http_client(settings) as http:

        async def one(host: KnownHost) -> list[Check]:
            async with limit:
                return await _host(http, host, away)

        checks = [each for found in await asyncio.gather(*map(one, known)) for each in found]
        if did is not None:
            checks.append(await _directory(resolver_of(settings, http), did))
    return checks


async def _host(http: httpx.AsyncClient, host: KnownHost, away: set[str]) -> list[Check]:
    origin, name = host.origin, f"PDS {host.origin}"
    try:
        reply = await http.get(origin + HEALTH, timeout=RESPONSE_TIMEOUT_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = str(error) or type(error).__name__
        away.add(origin)
        return [warn(name, f"does not answer: {reason}{host.since}", AWAY)]
    if reply.is_server_error:
        away.add(origin)
        return [warn(name, f"answers {reply.status_code}{host.since}", AWAY)]
    clock = _date_of(reply)
    off = [] if clock is None else [_clock(f"clock of {origin}", clock - datetime.now(UTC))]
    if host.failing_since is not None:
        return [warn(name, f"answers, but not to deliveries{host.since}", FAILS), *off]
    return [ok(name, "answers"), *off]


async def _directory(resolver: Resolver, did: str) -> Check:
    try:
        await resolver.did_document(did)
    except IdentityError as error:
        return warn(
            "directory", str(error), "new accounts cannot sign in, and accounts that moved are not found"
        )
    return ok("directory", "knows where accounts are")


def _date_of(reply: httpx.Response) -> datetime | None:
    try:
        return parsedate_to_datetime(reply.headers["date"])
    except (KeyError, ValueError):
        return None


def _clock(name: str, ahead: timedelta) -> Check:
    found = f"{ahead.total_seconds():+.1f} s compared with this machine's"
    if abs(ahead) > CLOCK_FAIL:
        return fail(name, found, "synchronize the clocks with NTP: tokens are refused because of it")
    if abs(ahead) > CLOCK_WARN:
        return warn(name, found, "set the clocks by NTP")
    return ok(name, found)
