"""Accounts that are deactivated, gone or moved, and the looks at them."""

from datetime import timedelta

import httpx

from aggregates.track import Track
from outbox.delivery import Outcome
from tests.outbox.memory_pds import MemoryPds
from tests.outbox.rig import Rig
from tests.outbox.rows import lane_row

NEW_HOST = "http://new.test"


def status_of(desk: Rig, status: str | None) -> None:
    assert isinstance(desk.pds, MemoryPds)
    if status is None:
        desk.pds.statuses.pop(desk.did, None)
    else:
        desk.pds.statuses[desk.did] = status


async def parked(desk: Rig, status: str) -> Track:
    """A track whose record was refused because of its account."""
    track = desk.upload()
    status_of(desk, status)
    await desk.relay_once()
    assert desk.mirror().state == "parked"
    return track


def move(desk: Rig) -> MemoryPds:
    """The account moves, with its records; its login stays behind."""
    old = desk.pds
    assert isinstance(old, MemoryPds)
    new = MemoryPds(NEW_HOST, records=dict(old.records), blobs=dict(old.blobs))
    desk.places.moved[desk.did] = NEW_HOST
    desk.wire.at = old.url
    transport = {"pds.test": old.transport(), "new.test": new.transport()}
    desk.wire.http._transport = httpx.MockTransport(  # noqa: SLF001 - one network for both
        lambda request: transport[request.url.host].handler(request)
    )
    return new


def sign_in_at(desk: Rig, pds: MemoryPds) -> None:
    desk.pds = desk.wire.pds = pds
    desk.wire.at = pds.url
    desk.sign_in(host=pds.url)


def state(desk: Rig) -> str:
    return str(lane_row(desk.database, desk.did).state)


async def after(desk: Rig, pause: timedelta) -> dict[Outcome, int]:
    desk.clock.advance(seconds=pause.total_seconds() * 1.11)
    return dict(await desk.relay_once())
