"""Where a record stands, and what became of each event, in the words of the design."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, update

from aggregates.tracks.track import Track
from outbox.mirror.lanes import change_lane, park_lane
from outbox.mirror.requeue import queue_as_backfill
from outbox.mirror.tables import blob_job, delivery_attempt, mirror_lane, mirror_target
from outbox.relay.result import Outcome
from tests.dsl import COLLECTION
from tests.outbox.rigs.foreign_writes import delivered
from tests.outbox.rigs.relay_rig import Rig
from tests.outbox.rigs.rows import lane_row, set_host
from tests.outbox.rigs.wire import answered, refused
from tests.servers.databases import ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_SQLITE]


def remove(rig: Rig) -> None:
    rig.command(1, lambda track: track.delete(at=rig.clock()))


async def test_a_delivered_event_has_its_time_commit_and_cid(desk: Rig) -> None:
    await delivered(desk)
    [delivery] = desk.told()
    rev = desk.pds.repo(desk.did).head.rev  # type: ignore[union-attr]
    assert (delivery.status, delivery.rev, delivery.cid) == ("delivered", rev, desk.mirror().record_cid)
    assert delivery.at is not None
    assert delivery.by_generation == desk.mirror().generation


async def test_an_edit_that_a_later_one_carried_along_is_superseded_by_it(desk: Rig) -> None:
    desk.upload()
    desk.edit(title="one")
    desk.edit(title="two")
    assert desk.statuses() == ["pending"] * 3
    await desk.relay_once()

    [created, first, last] = desk.told()

    assert [created.status, first.status, last.status] == ["superseded", "superseded", "delivered"]
    assert {created.by_generation, first.by_generation} == {desk.mirror().generation}
    assert (first.rev, first.cid, first.at) == (last.rev, last.cid, last.at)


async def test_an_event_stays_delivered_whatever_comes_after_it(desk: Rig) -> None:
    await delivered(desk)
    first = desk.told()[0]
    desk.edit(title="one")
    desk.edit(title="two")
    await desk.relay_once()
    remove(desk)
    await desk.relay_once()
    assert desk.told()[0] == first
    assert desk.statuses() == ["delivered", "superseded", "delivered", "delivered"]


async def test_what_came_and_went_before_anything_was_sent_is_cancelled(desk: Rig) -> None:
    desk.wire.faults += [refused]
    desk.upload()
    await desk.relay_once()
    desk.edit(title="one")
    remove(desk)
    desk.clock.advance(minutes=10)
    assert await desk.relay_once() == {Outcome.CANCELLED: 1}
    assert desk.statuses() == ["cancelled"] * 3
    assert desk.mirror().state == "delivered"

    desk.command(1, lambda track: track.undelete(at=desk.clock()))
    await desk.relay_once()
    assert desk.statuses() == ["cancelled", "cancelled", "cancelled", "delivered"]


async def test_a_delete_of_a_record_that_never_arrived_is_delivered_too(desk: Rig) -> None:
    desk.wire.faults += [answered(400, "InvalidRecord")]
    desk.upload()
    await desk.relay_once()
    remove(desk)
    desk.clock.advance(minutes=10)

    assert await desk.relay_once() == {Outcome.DELIVERED: 1}

    assert desk.statuses() == ["superseded", "delivered"]
    assert desk.told()[0].by_generation == desk.mirror().generation


async def test_a_waiting_event_has_its_reason(desk: Rig) -> None:
    desk.upload()
    with desk.database.write() as connection:
        park_lane(connection, desk.did)
    desk.edit(title="one")
    assert [delivery.reason for delivery in desk.told()] == ["auth_required"] * 2


async def test_an_event_whose_attempts_are_not_known_here_is_superseded_by_what_the_pds_has(
    desk: Rig,
) -> None:
    desk.upload()
    desk.edit(title="one")
    await desk.relay_once()
    desk.execute(delete(delivery_attempt))
    acked = desk.mirror().acked_generation
    assert [(each.status, each.by_generation) for each in desk.told()] == [("superseded", acked)] * 2


async def test_an_event_that_met_a_foreign_edit_is_held_and_those_before_it_are_not(desk: Rig) -> None:
    track = await delivered(desk)
    desk.pds.put_record(desk.did, COLLECTION, track.rkey, {**(desk.remote(track) or {}), "title": "x"})
    desk.edit(title="one")
    await desk.relay_once()
    desk.edit(title="two")
    assert desk.statuses() == ["delivered", "held", "none", "held"]


async def test_an_event_that_found_its_record_gone_is_superseded_by_the_restore(desk: Rig) -> None:
    track = await delivered(desk)
    desk.pds.delete_record(desk.did, COLLECTION, track.rkey)
    desk.edit(title="one")
    await desk.relay_once()
    assert desk.statuses() == ["delivered", "detached", "none"]

    desk.command(1, lambda track: track.restore_record(at=desk.clock()))
    await desk.relay_once()

    assert desk.statuses() == ["delivered", "superseded", "none", "delivered"]
    assert desk.told()[1].by_generation == desk.mirror().generation


async def test_a_rejected_event_is_superseded_by_the_change_that_mends_it(desk: Rig) -> None:
    desk.wire.faults += [answered(400, "InvalidRecord")]
    desk.upload()
    await desk.relay_once()
    assert desk.statuses() == ["rejected"]
    desk.edit(title="mended")
    assert desk.statuses() == ["pending", "pending"]
    await desk.relay_once()
    assert desk.statuses() == ["superseded", "delivered"]


HELD = {"state": "held", "reason": "foreign_edit"}
READY: dict[str, Any] = {"state": "ready"}
PARKED = {"state": "auth_required"}


@pytest.mark.parametrize(
    ("target", "lane", "job", "expected"),
    [
        ({}, READY, {}, ("delivered", None)),
        ({}, PARKED, {}, ("delivered", None)),
        ({}, READY, {"requested": True}, ("pending", "blob")),
        ({}, READY, {"again": True}, ("pending", "blob")),
        ({}, PARKED, {"requested": True}, ("parked", "auth_required")),
        ({**HELD}, READY, {}, ("held", "foreign_edit")),
        ({"detached": True}, READY, {}, ("detached", "record_missing")),
        ({"acked_gen": 0}, READY, {}, ("pending", "sending")),
        ({"acked_gen": 0, **HELD}, READY, {}, ("held", "foreign_edit")),
        ({"acked_gen": 0, **HELD}, PARKED, {}, ("held", "foreign_edit")),
        ({"acked_gen": 0, **HELD, "desired_op": "delete"}, READY, {}, ("pending", "sending")),
        ({"acked_gen": 0, "detached": True}, PARKED, {}, ("detached", "record_missing")),
        ({"acked_gen": 0}, PARKED, {}, ("parked", "auth_required")),
        ({"acked_gen": 0}, {"state": "gone"}, {}, ("parked", "gone")),
        ({"acked_gen": 0}, {"state": "ready", "paused": True}, {}, ("parked", "paused")),
        ({"acked_gen": 0, "state": "rejected", "reason": "E", "failed_gen": 1}, READY, {}, ("rejected", "E")),
        ({"acked_gen": 0, "state": "rejected", "reason": "E"}, READY, {}, ("pending", "sending")),
        ({"acked_gen": 0, "state": "rejected", "reason": "E"}, PARKED, {}, ("parked", "auth_required")),
        *[
            (
                {"acked_gen": 0, "state": reason, "reason": reason, "failed_gen": 1},
                READY,
                {},
                ("pending", reason),
            )
            for reason in ("backoff", "paced", "verifying", "blob")
        ],
    ],
)
async def test_the_mirror_has_this_state(
    desk: Rig, target: dict, lane: dict, job: dict, expected: tuple[str, str | None]
) -> None:
    await delivered(desk)
    desk.command(1, lambda track: track.request_blob_migration(at=desk.clock()))
    with desk.database.write() as connection:
        settled = {"desired_gen": 1, "acked_gen": 1, "state": "idle", "failed_gen": 0, "reason": None}
        connection.execute(update(mirror_target).values({**settled, **target}))
        connection.execute(update(mirror_lane).values(lane))
        connection.execute(update(blob_job).values({"requested": False, **job}))
    mirror = desk.mirror()
    assert (mirror.state, mirror.reason) == expected
    assert mirror.needs_intervention is (mirror.state in {"held", "detached", "rejected", "parked"})


async def test_a_reason_that_ends_by_itself_has_its_time(desk: Rig) -> None:
    desk.upload()
    later = desk.clock()
    with desk.database.write() as connection:
        failed = {"state": "verifying", "reason": "verifying", "failed_gen": desk.mirror().generation}
        connection.execute(update(mirror_target).values(failed))
        change_lane(connection, desk.did, not_before=later)
    assert desk.mirror().next_attempt_at == later


MINUTE = timedelta(minutes=1)


def why(rig: Rig, track_id: int) -> tuple[str, str | None]:
    mirror = rig.mirror(track_id)
    return mirror.state, mirror.reason


async def test_a_record_behind_one_that_was_over_a_limit_is_paced_until_the_same_time(desk):
    desk.upload(1)
    desk.upload(2)
    desk.wire.faults = [answered(429, "RateLimitExceeded")]
    await desk.relay_once()
    assert [why(desk, number) for number in (1, 2)] == [("pending", "paced")] * 2
    until = lane_row(desk.database, desk.did).paced_until
    assert [desk.mirror(number).next_attempt_at for number in (1, 2)] == [until] * 2
    desk.clock.advance(minutes=2)
    await desk.relay_once()
    assert why(desk, 2) == ("delivered", None)
    desk.edit(2, title="another")
    assert why(desk, 2) == ("pending", "sending")
    assert desk.mirror(2).next_attempt_at is None


async def test_a_record_behind_one_that_reached_nobody_backs_off_with_its_lane(desk):
    desk.upload(1)
    desk.upload(2)
    desk.wire.faults = [refused] * 100
    await desk.relay_once()
    assert [why(desk, number) for number in (1, 2)] == [("pending", "backoff")] * 2
    assert desk.mirror(2).next_attempt_at == lane_row(desk.database, desk.did).not_before


@pytest.mark.parametrize(("column", "reason"), [("retry_at", "backoff"), ("paced_until", "paced")])
async def test_a_record_at_a_host_that_is_to_be_left_alone_says_until_when(desk, column, reason):
    desk.upload()
    until = desk.clock() + MINUTE
    set_host(desk.database, desk.pds.url, **{column: until})
    assert why(desk, 1) == ("pending", reason)
    assert desk.mirror().next_attempt_at == until


async def test_of_a_host_whose_budget_is_half_used_up_only_backfill_waits(desk):
    desk.upload(1)
    desk.upload(2)
    with desk.database.write() as connection:
        queue_as_backfill(connection, desk.did, Track.subjects([2]), desk.clock())
    set_host(desk.database, desk.pds.url, backfill_after=desk.clock() + MINUTE)
    assert [why(desk, number) for number in (1, 2)] == [("pending", "sending"), ("pending", "paced")]


async def test_a_record_under_way_is_sending(desk):
    desk.upload()
    set_host(desk.database, desk.pds.url, max_lanes=4)
    desk.claim("relay-2")
    with desk.database.write() as connection:
        change_lane(connection, desk.did, not_before=desk.clock() + MINUTE)
    assert why(desk, 1) == ("pending", "sending")
