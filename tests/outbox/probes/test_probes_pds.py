"""What probes meet at a real PDS: accounts that are deactivated, taken down or deleted, and come back where they can."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from devpds.server import DevPds
from outbox.mirror.parking import FIRST_PROBE_PAUSE
from outbox.probes.jobs import GONE_AFTER
from outbox.relay.result import Outcome
from tests.outbox.rigs.foreign_writes import delivered
from tests.outbox.rigs.relay_rig import Rig
from tests.outbox.rigs.rows import lane_row

pytestmark = [pytest.mark.anyio, pytest.mark.pds]
Change = Callable[[DevPds, str], object]


def deactivate(pds: DevPds, did: str) -> None:
    pds.procedure("com.atproto.server.deactivateAccount", {}, by=did)


def activate(pds: DevPds, did: str) -> None:
    pds.procedure("com.atproto.server.activateAccount", by=did)


def takedown(pds: DevPds, did: str, *, applied: bool = True) -> None:
    subject = {"$type": "com.atproto.admin.defs#repoRef", "did": did}
    body = {"subject": subject, "takedown": {"applied": applied, "ref": "1"}}
    pds.procedure("com.atproto.admin.updateSubjectStatus", body, by="admin")


def let_back(pds: DevPds, did: str) -> None:
    takedown(pds, did, applied=False)


def delete(pds: DevPds, did: str) -> None:
    pds.procedure("com.atproto.admin.deleteAccount", {"did": did}, by="admin")


def real(rig: Rig) -> DevPds:
    assert isinstance(rig.pds, DevPds)
    return rig.pds


async def looked(rig: Rig, pause: timedelta) -> str:
    """The lane's state after a look."""
    rig.clock.advance(seconds=1.11 * pause.total_seconds())
    await rig.relay_once()
    return str(lane_row(rig.database, rig.did).state)


@pytest.mark.parametrize(("away", "back"), [(deactivate, activate), (takedown, let_back)])
async def test_an_account_that_is_active_again_gets_all_its_edits_in_one_write_a_record(
    rig: Rig, away: Change, back: Change
) -> None:
    tracks = [rig.upload(number) for number in (1, 2)]
    await rig.relay_once()
    away(real(rig), rig.did)
    for title in ("one", "two", "three"):
        rig.edit(1, title=title)
        rig.edit(2, title=title)
    await rig.relay_once()
    assert rig.mirror().reason == "account_inactive"
    written = len(rig.wire.sent)

    assert await looked(rig, FIRST_PROBE_PAUSE) == "account_inactive"
    assert len(rig.wire.sent) == written
    back(real(rig), rig.did)
    rig.clock.advance(hours=1)
    assert await rig.relay_once() == {Outcome.DELIVERED: 2}

    assert len(rig.wire.sent) == written + 2
    for track in tracks:
        record = rig.remote(track)
        assert record is not None
        assert record["title"] == "three"


async def test_an_account_that_was_deleted_is_gone_in_time(rig: Rig) -> None:
    await delivered(rig)
    delete(real(rig), rig.did)
    rig.edit(title="too late")
    await rig.relay_once()
    assert lane_row(rig.database, rig.did).state == "identity_stale"
    assert await looked(rig, GONE_AFTER) == "gone"
