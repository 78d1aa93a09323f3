"""A fault on our side delays its account alone, counts against no host, and says why."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import select, update

from aggregates.errors import SessionUnavailableError
from identity.sessions.encryption import Cipher
from identity.sessions.pds_sessions import PdsSessions
from identity.sessions.session_store import SessionKind, Tokens, pds_session
from outbox.mirror.hosts import OPENS_AFTER_FAILURES
from outbox.mirror.lanes import park_lane, release
from outbox.mirror.states import BreakerState
from outbox.mirror.tables import blob_job, delivery_attempt, mirror_lane, mirror_target, pds_host
from outbox.pds.client import Pds
from outbox.pds.verdict import NO_CONNECTION_PAUSE, Kind
from outbox.relay.delivery import Delivery
from outbox.relay.delivery_task import next_task
from outbox.relay.result import Outcome, Result
from service.wiring.adapters import lane_signed_in
from tests.dsl import BOB
from tests.outbox.rigs.foreign_writes import delivered
from tests.outbox.rigs.relay_rig import KINDS, Rig
from tests.outbox.rigs.replays import SEVERAL, all_delivered, edited, settle_all
from tests.outbox.rigs.wire import answered
from tests.servers.databases import ON_POSTGRES, ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_SQLITE]
KEY = "a secret that only this test knows, k1"


def host_failures(rig: Rig) -> int:
    return rig.scalars(select(pds_host.c.failures).where(pds_host.c.host == rig.pds.url))[0]


def outcomes(rig: Rig) -> list[str | None]:
    return list(rig.scalars(select(delivery_attempt.c.outcome).order_by(delivery_attempt.c.id)))


@asynccontextmanager
async def with_real_logins(desk: Rig) -> AsyncIterator[PdsSessions]:
    """The relay uses the login that the database keeps, which has to be renewed."""
    sessions = PdsSessions(
        desk.log,
        Cipher([KEY]),
        desk.wire.http,
        on_reauth=park_lane,
        on_signed_in=partial(lane_signed_in, desk.database),
    )
    tokens = Tokens(SecretStr("access"), SecretStr("refresh"), "", desk.clock())
    with desk.database.write() as connection:
        sessions.signed_in(
            connection, did=desk.did, kind=SessionKind.APP_PASSWORD, pds_url=desk.pds.url, tokens=tokens
        )
    pds = Pds(sessions, desk.wire.http)
    desk.delivery = Delivery(desk.log, desk.hosts, pds)
    yield sessions
    await sessions.finish()


async def deliver_within(desk: Rig, seconds: float) -> Result:
    lane = desk.claim("in a hurry")
    work = next_task(desk.log, lane, KINDS, desk.clock(), [])
    assert work is not None
    result = await desk.delivery.deliver(lane, work, seconds)
    desk.settle(lane, result)
    release(desk.database, lane)
    return result


def set_session(desk: Rig, **columns: Any) -> None:
    desk.execute(update(pds_session).values(columns))


def people_with_an_upload(desk: Rig) -> range:
    """More accounts than failures open the breaker of their host."""
    numbers = range(1, OPENS_AFTER_FAILURES + 2)
    for number in numbers:
        desk.sign_in(f"{BOB}{number}")
        desk.upload(number, did=f"{BOB}{number}")
    return numbers


async def no_key_opens_it(_send: Any) -> httpx.Response:
    """The tokens were sealed with a key that is gone from SECRET_KEYS."""
    raise SessionUnavailableError(BOB, "its tokens cannot be decrypted: none of SECRET_KEYS decrypts it")


async def test_logins_that_no_key_decrypts_count_against_no_host_and_say_why(desk: Rig) -> None:
    people = people_with_an_upload(desk)
    desk.wire.faults = [no_key_opens_it] * 100

    await desk.relay_once()

    [host] = desk.rows(select(pds_host))
    assert (host.breaker, host.failures) == (BreakerState.CLOSED, 0)
    for number in people:
        mirror = desk.mirror(number)
        assert (mirror.state, mirror.reason) == ("pending", "backoff")
        assert mirror.last_error is not None
        assert mirror.last_error.startswith(f"login_unusable: {BOB}: its tokens cannot be decrypted")

    desk.wire.faults.clear()  # the operator puts the key back
    desk.clock.advance(minutes=10)
    await desk.relay_once()
    assert {desk.mirror(number).state for number in people} == {"delivered"}


async def no_connection_is_free(_send: Any) -> httpx.Response:
    raise httpx.PoolTimeout("all connections are taken")


async def test_a_full_pool_is_no_attempt_backs_off_no_lane_and_counts_against_no_host(desk: Rig) -> None:
    people = people_with_an_upload(desk)
    desk.wire.faults = [no_connection_is_free] * 100

    for _ in range(3):
        await desk.relay_once()
        desk.clock.advance(seconds=NO_CONNECTION_PAUSE.total_seconds())

    with desk.database.read() as connection:
        host = connection.execute(select(pds_host)).one()
        lanes = connection.execute(select(mirror_lane)).all()
        targets = connection.execute(select(mirror_target)).all()
    assert (host.breaker, host.failures) == (BreakerState.CLOSED, 0)
    assert {(each.failures, each.failing_since) for each in lanes} == {(0, None)}
    assert {(each.attempts, each.ever_sent, each.failing_since) for each in targets} == {(0, False, None)}
    assert len(outcomes(desk)) == 3 * len(people)

    desk.wire.faults.clear()
    await desk.relay_once()
    assert {desk.mirror(number).state for number in people} == {"delivered"}


async def test_a_full_pool_is_no_attempt_of_an_upload(desk: Rig) -> None:
    await delivered(desk)
    desk.command(1, lambda track: track.request_blob_migration(at=desk.clock()))
    desk.wire.faults = [no_connection_is_free]

    await desk.relay_once()

    assert desk.rows(select(blob_job.c.attempts, blob_job.c.failing_since))[0] == (0, None)
    desk.clock.advance(seconds=NO_CONNECTION_PAUSE.total_seconds())
    await desk.relay_once()
    assert (desk.mirror().state, host_failures(desk)) == ("delivered", 0)


async def test_an_upload_that_a_pds_answers_with_500_backs_off_and_never_ends(
    desk: Rig,
) -> None:
    await delivered(desk)
    desk.command(1, lambda track: track.request_blob_migration(at=desk.clock()))
    desk.execute(blob_job.update().values(attempts=20))
    desk.wire.faults = [answered(500, "InternalServerError")]

    await desk.relay_once()

    assert (desk.mirror().state, desk.mirror().reason) == ("pending", "blob")
    assert desk.mirror().blob_error == "InternalServerError: "
    pause = desk.scalars(select(blob_job.c.not_before))[0] - desk.clock()
    assert 1700 < pause.total_seconds() < 3600
    desk.clock.advance(hours=1)
    await desk.relay_once()
    assert desk.mirror().state == "delivered"


async def test_a_login_that_another_process_is_renewing_is_no_failure_of_its_host(desk: Rig) -> None:
    desk.upload()
    async with with_real_logins(desk):
        set_session(desk, refresh_until=desk.clock() + timedelta(hours=1), refresh_owner="another process")

        result = await deliver_within(desk, 1.0)

        assert (result.verdict.kind, result.outcome) == (Kind.NOT_SENT, Outcome.FAILED)
        assert (outcomes(desk), host_failures(desk)) == (["not_sent"], 0)
        mirror = desk.mirror()
        assert (mirror.state, mirror.reason) == ("pending", "backoff")
        assert mirror.last_error is not None
        assert "not ready in time" in mirror.last_error

        set_session(desk, generation=2, refresh_until=None, access_expires_at=None)
        desk.clock.advance(minutes=10)
        await desk.another_relay("relay-2").run_once()
        assert desk.mirror().state == "delivered"


async def test_a_delivery_without_time_sends_nothing_and_counts_against_no_host(desk: Rig) -> None:
    desk.upload()

    result = await deliver_within(desk, 0.0)

    assert (result.verdict.kind, result.verdict.error) == (Kind.NOT_SENT, "no_time_left")
    assert (desk.wire.sent, outcomes(desk), host_failures(desk)) == ([], ["not_sent"], 0)
    assert (desk.mirror().state, desk.mirror().reason) == ("pending", "backoff")


@pytest.mark.pds
async def test_audio_that_is_shorter_than_it_is_said_to_be_is_no_failure_of_its_host(rig: Rig) -> None:
    whole = b"audio 1" * 500
    track = await delivered(rig, audio=rig.bytes.keep(whole))
    rig.bytes.held[track.audio.cid] = whole[:-1]
    rig.command(1, lambda track: track.request_blob_migration(at=rig.clock()))

    await rig.relay_once()

    assert host_failures(rig) == 0
    assert rig.mirror().blob_error is not None
    assert "Too little data" in rig.mirror().blob_error

    rig.bytes.held[track.audio.cid] = whole  # the operator puts it back
    rig.clock.advance(minutes=10)
    await rig.relay_once()
    assert rig.mirror().state == "delivered"


@ON_POSTGRES
@pytest.mark.parametrize("records", [3, SEVERAL], ids=["one by one", "in a batch"])
async def test_a_record_that_the_database_cannot_hold_delays_no_other_and_says_so(
    desk: Rig, records: int
) -> None:
    first, *others = await edited(desk, records)
    with desk.cannot_hold(
        "mirror_target", f"new.track_id = {first.track_id} and new.acked_gen = new.desired_gen"
    ):
        await settle_all(desk)
        assert all_delivered(desk, others)
        mirror = desk.mirror(first.track_id)
        assert (mirror.state, mirror.reason) == ("pending", "backoff")
        assert (mirror.last_error or "").startswith("ProgramLimitExceeded: the row is too long")
        assert desk.rows(select(mirror_lane.c.failures, mirror_lane.c.failing_since)) == [(0, None)]
    await settle_all(desk)
    assert all_delivered(desk, [first])
