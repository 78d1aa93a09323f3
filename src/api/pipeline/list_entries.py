"""Reads what a list is to refer to and no account here has, before the command and for a few seconds at most."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from starlette.concurrency import run_in_threadpool

from aggregates.errors import InvalidFieldError, TooManyItemsError
from aggregates.lists.track_list import TrackList
from aggregates.values import MAX_ITEMS
from api.pipeline.command_request import CommandRequest
from application.lists.commands import Entry
from application.subjects import On, find
from identity.errors import IdentityError
from outbox.pds.client import RecordKey
from projections.tracks.queries import tracks_at

MAX_RECORDS_READ: Final = 20
"""Of other services, in one request."""
READS_TIMEOUT_SECONDS: Final = 10.0
"""For all of them, with the waits for turns."""


async def known_entries(
    request: CommandRequest, entries: Sequence[Entry], list_id: int | None = None
) -> list[Entry]:
    """Return the entries; of records that no account here has, and that the list has not yet, with the CID that their PDS says.

    Raises TooManyItemsError of more than the list may have.
    """
    services, uris = request.services, {entry.uri for entry in entries if entry.uri is not None}
    if not uris and len(entries) <= MAX_ITEMS:
        return [*entries]

    def unknown() -> set[str]:
        with services.database.read() as connection:
            made = find(services.log, connection, On(TrackList, list_id)) if list_id is not None else None
            items = made.items if made is not None else ()
            if len(entries) > max(MAX_ITEMS, len(items)):
                raise TooManyItemsError(MAX_ITEMS)
            others = uris.difference(item.uri for item in items)
            return others.difference(tracks_at(connection, others))

    new = await run_in_threadpool(unknown)
    if len(new) > MAX_RECORDS_READ:
        from_elsewhere = f"at most {MAX_RECORDS_READ} records that are not here in one request"
        raise InvalidFieldError("tracks", from_elsewhere)
    cids: dict[str, str | None] = {}

    async def read(uri: str) -> None:
        async with services.pds_checks.of(request.principal.did):
            cids[uri] = await _read(request, RecordKey.of_uri(uri))

    with suppress(TimeoutError):
        async with asyncio.timeout(READS_TIMEOUT_SECONDS), asyncio.TaskGroup() as reads:
            for uri in new:
                reads.create_task(read(uri))
    return [replace(entry, cid=cids.get(entry.uri or "")) for entry in entries]


async def _read(request: CommandRequest, key: RecordKey) -> str | None:
    """Return the CID of a record at its account's PDS; None where that does not say."""
    try:
        host = await request.services.resolver.pds_of(key.did)
    except IdentityError:
        return None
    present = await request.services.record_reads.read(host or "", key, None)
    return present.remote.cid if present.remote is not None else None
