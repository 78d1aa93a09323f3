"""Verifications go behind live work: in the claim, in a lane run and in a host's budget. Any number of requests make one, and none is lost."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from aggregates.tracks.track import Track
from eventstore.sql.database import Database
from outbox.conflicts.conflicts import conflict_of, keep_theirs
from outbox.mirror.lanes import change_lane
from outbox.mirror.requeue import reverify
from outbox.mirror.tables import NEVER, PAST, delivery_attempt
from outbox.relay.result import Outcome
from tests.fake_pds.limits import REQUESTS
from tests.fake_pds.xrpc import RefusedError
from tests.outbox.rigs.foreign_writes import delivered, foreign_put, reads, request_verify, target, verified
from tests.outbox.rigs.rate_limits import limits
from tests.outbox.rigs.relay_rig import ARTIST, RECORDS, Rig
from tests.outbox.rigs.rows import add_lane, change_target, claimed
from tests.outbox.rigs.stepwise_delivery import StepwiseDelivery
from tests.servers.databases import ON_BOTH, ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_SQLITE]

BACKLOG = 30


def doubted(database: Database, number: int) -> str:
    """A lane of which one record is doubted, and which is known to have no other work."""
    did = add_lane(database, number)
    change_target(database, did, acked_gen=1)
    with database.write() as connection:
        change_lane(connection, did, due_at=NEVER)
        reverify(connection, Track.subjects([number]), PAST + timedelta(seconds=number))
    return did


@ON_BOTH
def test_a_lane_of_every_host_is_left_to_live_work(database: Database) -> None:
    for number in range(1, 9):
        doubted(database, number)
    assert [lane.backfill for lane in claimed(database)] == [True] * 3
    live = add_lane(database, 9)
    assert [(lane.did, lane.backfill) for lane in claimed(database)] == [(live, False)]


async def backlog(desk: Rig) -> list[Track]:
    tracks = [desk.upload(number) for number in range(1, BACKLOG + 1)]
    await desk.relay_once()
    desk.wire.sent.clear()
    return tracks


async def test_verifications_stop_at_half_of_a_hosts_budget_and_an_edit_has_the_rest(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await backlog(desk)
    limits(desk, REQUESTS, 40)
    keys = reads(desk, monkeypatch)

    await verified(desk, *range(1, BACKLOG + 1))
    assert 15 <= len(keys) <= 21
    assert await desk.relay_once() == {}

    desk.edit(BACKLOG, title="now")
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}

    desk.clock.advance(seconds=REQUESTS.seconds + 5)
    await desk.relay_once()
    assert len(keys) >= BACKLOG - 1
    assert [target(desk, number).last_error for number in range(1, BACKLOG + 1)] == [None] * BACKLOG


async def test_a_retry_of_one_record_makes_its_verification_live(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracks = await backlog(desk)
    request_verify(desk, *range(1, BACKLOG + 1))
    keys = reads(desk, monkeypatch)
    desk.retry(BACKLOG)
    await desk.relay_once()
    assert keys[0] == tracks[-1].rkey


async def test_the_verification_after_a_decision_is_live_although_one_was_requested_before(desk: Rig) -> None:
    track = await delivered(desk)
    foreign_put(desk, track, title="foreign")
    await verified(desk)
    request_verify(desk)
    assert target(desk).backfill
    with desk.log.unit_of_work(desk.did, ARTIST) as unit:
        conflict = conflict_of(unit.connection, desk.did, RECORDS, 1)
        assert conflict is not None
        keep_theirs(unit, unit.load(Track, Track.create_id(1)), conflict)
    assert target(desk).look_at < NEVER
    assert not target(desk).backfill


async def test_a_verification_that_failed_stays_behind_live_work(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await delivered(desk)
    with monkeypatch.context() as patched:
        reads(desk, patched, RefusedError(500, "InternalServerError"))
        assert await verified(desk) == {Outcome.FAILED: 1}
    assert target(desk).backfill
    desk.clock.advance(minutes=10)
    assert await desk.relay_once() == {Outcome.SEEN: 1}
    assert not target(desk).backfill


async def test_a_record_that_is_to_be_verified_while_it_is_sent_keeps_its_priority(desk: Rig) -> None:
    await delivered(desk)
    desk.edit(title="live")
    desk.claim("writes")
    request_verify(desk)
    assert (target(desk).backfill, target(desk).look_at < NEVER) == (False, True)


async def test_a_request_to_verify_an_open_record_changes_nothing(desk: Rig) -> None:
    await delivered(desk)
    desk.edit(title="waits")
    before = target(desk)
    request_verify(desk)
    assert target(desk) == before


async def test_many_requests_to_verify_a_record_make_one_verification(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = await delivered(desk)
    keys = reads(desk, monkeypatch)
    for _ in range(3):
        request_verify(desk)
    await desk.relay_once()
    assert keys == [track.rkey]


@ON_BOTH
@pytest.mark.parametrize("during", ["a write", "a verification"])
async def test_a_request_that_comes_before_the_settling_survives_it(desk: Rig, during: str) -> None:
    track = desk.upload()
    if during == "a verification":
        await desk.relay_once()
        request_verify(desk)
    delivery = StepwiseDelivery(desk)
    await delivery.send()
    foreign_put(desk, track, title="foreign")
    request_verify(desk)
    delivery.settle()
    assert await desk.relay_once() == {Outcome.HELD: 1}


async def test_a_verification_leaves_no_attempt_in_the_journal_unless_it_writes(desk: Rig) -> None:
    await delivered(desk)
    await verified(desk)
    assert desk.scalars(select(func.count()).select_from(delivery_attempt))[0] == 1
