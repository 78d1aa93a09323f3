"""Accounts that are deactivated, gone or moved, and the probes that find it."""

from copy import deepcopy
from datetime import timedelta
from typing import Any

import httpx

from aggregates.tracks.track import Track
from eventstore.coordination.due_parts import parts_of
from eventstore.jobs.kinds import Job
from eventstore.jobs.queue import due_kinds
from eventstore.sql.database import Database
from outbox.probes.jobs import Probes, probed_lane
from outbox.relay.result import Outcome
from tests.eventstore.jobs.rig import claim_anywhere
from tests.fake_pds.signed_in_pds import SignedInPds
from tests.outbox.rigs.relay_rig import Rig
from tests.outbox.rigs.rows import lane_row

NEW_HOST = "http://new.test"


def status_of(desk: Rig, status: str | None) -> None:
    assert isinstance(desk.pds, SignedInPds)
    desk.pds.let_stand(desk.did, status)


async def parked(desk: Rig, status: str) -> Track:
    track = desk.upload()
    status_of(desk, status)
    await desk.relay_once()
    assert desk.mirror().state == "parked"
    return track


def move(desk: Rig) -> SignedInPds:
    """The account moves, with its records; its login stays behind."""
    old = desk.pds
    assert isinstance(old, SignedInPds)
    new = SignedInPds(NEW_HOST)
    new.accounts[desk.did] = deepcopy(old.account(desk.did))
    desk.directory.moved[desk.did] = NEW_HOST
    desk.wire.at = old.url
    hosts = {"pds.test": old, "new.test": new}

    async def answer(request: httpx.Request) -> httpx.Response:
        return await hosts[request.url.host].handle_async_request(request)

    desk.wire.http._transport = httpx.MockTransport(answer)  # noqa: SLF001 - one network for both
    return new


def sign_in_at(desk: Rig, pds: SignedInPds) -> None:
    desk.pds = desk.wire.pds = pds
    desk.wire.at = pds.url
    desk.sign_in(host=pds.url)


def state(desk: Rig) -> str:
    return str(lane_row(desk.database, desk.did).state)


async def after(desk: Rig, pause: timedelta) -> dict[Outcome, int]:
    desk.clock.advance(seconds=pause.total_seconds() * 1.11)
    return dict(await desk.relay_once())


def claim_probes(database: Database, owner: str = "one", *, limit: int = 8) -> list[tuple[Job, Any]]:
    """Claim as the worker of this process does."""
    unused: Any = None
    kind, found = Probes(database, unused, unused).kind(), list[tuple[Job, Any]]()
    due_kinds(database, [kind], parts_of(database))
    while len(found) < limit and (claimed := claim_anywhere(database, kind, owner)):
        probe = probed_lane(database, claimed.subject)
        assert probe is not None
        found.append((claimed, probe))
    return found
