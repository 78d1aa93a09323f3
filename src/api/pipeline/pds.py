"""Reads the PDS before a command, without a login and for a few seconds at most."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final, Generic

from starlette.concurrency import run_in_threadpool

from api.services import Services
from application.records import OnPds
from application.subjects import A, On, require_owned
from outbox.mirror.namespace_moves import old_place
from outbox.pds.client import RecordKey, RemoteUnknownError

READ_TIMEOUT_SECONDS: Final = 5.0
"""With the wait for a turn."""
MAX_CHECKS_OF_AN_ACCOUNT: Final = 2


@dataclass(frozen=True)
class Place(Generic[A]):
    subject: A
    host: str | None
    old: RecordKey | None = None
    """Where the old collection may hold the record; None where the log says what is there."""


async def place_of(services: Services, did: str, on: On[A]) -> Place[A]:
    """Return the subject and its PDS; raises as `require_owned`."""

    def read() -> Place[A]:
        with services.database.read() as connection:
            subject = require_owned(services.log, connection, did, on)
            account = services.accounts.get(did)
            key = RecordKey(did, subject.collection, subject.rkey)
            old = old_place(connection, key, services.kinds[on.kind], on.id)
        return Place(subject, account.pds_url if account is not None else None, old)

    return await run_in_threadpool(read)


async def look(services: Services, place: Place[Any], *, in_old_alone: bool = False) -> OnPds:
    """Read whether the record exists and, where it does not, whether the old collection has one that the log does not know of.

    ABSENT, unread, where there can be none.
    """
    subject, places = place.subject, [] if place.old is None else [(place.old, OnPds.IN_OLD_COLLECTION)]
    if not in_old_alone:
        places.insert(0, (RecordKey(subject.did, subject.collection, subject.rkey), OnPds.PRESENT))
    if place.host is None:
        return OnPds.UNKNOWN if places else OnPds.ABSENT
    try:
        async with asyncio.timeout(READ_TIMEOUT_SECONDS), services.pds_checks.of(subject.did):
            for key, meaning in places:
                if (await services.pds.get(place.host, key)).cid is not None:
                    return meaning
    except (RemoteUnknownError, TimeoutError):
        return OnPds.UNKNOWN
    return OnPds.ABSENT


async def blob_limit(
    services: Services, did: str, host: str | None, timeout_seconds: float = READ_TIMEOUT_SECONDS
) -> int | None:
    """Return the largest blob in bytes that the PDS accepts; None if it names none."""
    if host is None:
        return None
    try:
        async with asyncio.timeout(timeout_seconds), services.pds_checks.of(did):
            return await services.pds.blob_limit(host)
    except TimeoutError:
        return None
