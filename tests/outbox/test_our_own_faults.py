"""What keeps us from sending and is no fault of the host's holds up the account alone, and says so."""

from typing import Any

import httpx
import pytest
from sqlalchemy import select

from outbox.hosts import CLOSED, OPENS_AFTER
from outbox.ports import SessionUnavailableError
from outbox.tables import blob_job, pds_host
from tests.dsl import BOB
from tests.outbox.rig import Rig, answered

pytestmark = pytest.mark.anyio


async def no_key_opens_it(_send: Any) -> httpx.Response:
    """The tokens were sealed with a key that is gone from SECRET_KEYS."""
    raise SessionUnavailableError("its tokens do not open: none of SECRET_KEYS opens it", is_ours=True)


async def test_logins_that_no_key_opens_leave_their_host_alone_and_are_told(desk: Rig) -> None:
    people = {number: f"{BOB}{number}" for number in range(1, OPENS_AFTER + 2)}
    for number, did in people.items():
        desk.sign_in(did)
        desk.upload(number, did=did)
    desk.wire.faults = [no_key_opens_it] * 100

    await desk.relay_once()

    with desk.database.read() as connection:
        host = connection.execute(select(pds_host)).one()
    assert (host.breaker, host.failures) == (CLOSED, 0)
    for number in people:
        mirror = desk.mirror(number)
        assert (mirror.state, mirror.reason) == ("pending", "backoff")
        assert mirror.last_error is not None
        assert mirror.last_error.startswith("login_unusable: its tokens do not open")

    desk.wire.faults.clear()  # the operator puts the key back
    desk.clock.advance(minutes=10)
    await desk.relay_once()
    assert {desk.mirror(number).state for number in people} == {"delivered"}


async def test_an_upload_that_a_pds_breaks_down_over_is_tried_ever_more_rarely_and_for_ever(
    desk: Rig,
) -> None:
    desk.upload()
    await desk.relay_once()
    desk.tell(1, lambda track: track.request_blob_migration(at=desk.clock()))
    with desk.database.write() as connection:
        connection.execute(blob_job.update().values(attempts=20))
    desk.wire.faults = [answered(500, "InternalServerError")]

    await desk.relay_once()

    assert (desk.mirror().state, desk.mirror().reason) == ("pending", "blob")
    assert desk.mirror().blob_error == "InternalServerError: "
    with desk.database.read() as connection:
        pause = connection.scalar(select(blob_job.c.not_before)) - desk.clock()
    assert 1700 < pause.total_seconds() < 3600
    desk.clock.advance(hours=1)
    await desk.relay_once()
    assert desk.mirror().state == "delivered"
