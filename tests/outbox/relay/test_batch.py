"""Which records of a replay one request creates; all others are sent alone."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from aggregates.track import Track
from outbox.mirror.lanes import change_lane
from outbox.mirror.requeue import queue_as_backfill
from outbox.relay import batch
from outbox.relay.batch import MAX_BATCH_RECORDS
from outbox.relay.result import Outcome
from tests.dsl import OLD_COLLECTION
from tests.outbox.rigs.foreign_writes import sent
from tests.outbox.rigs.namespace_move import moves
from tests.outbox.rigs.relay_rig import Rig, answer_lost
from tests.outbox.rigs.replays import SEVERAL, all_delivered, settle_all, wiped

pytestmark = pytest.mark.anyio


async def test_the_records_of_a_wiped_repo_come_back_in_a_few_requests(desk: Rig) -> None:
    tracks = await wiped(desk, 2 * MAX_BATCH_RECORDS + 1)
    assert await desk.relay_once() == {Outcome.DELIVERED: len(tracks)}
    assert sent(desk) == ["applyWrites", "applyWrites", "putRecord"]
    assert all_delivered(desk, tracks)


async def test_live_creates_are_sent_alone(desk: Rig) -> None:
    for number in range(1, SEVERAL + 1):
        desk.upload(number)
    await desk.relay_once()
    assert sent(desk) == ["putRecord"] * SEVERAL


async def test_no_batch_restores_a_record_beside_one_in_the_old_collection(desk: Rig) -> None:
    tracks = await wiped(desk)
    left, back = tracks[3], [*tracks[:3], *tracks[4:]]
    desk.pds.put_record(desk.did, OLD_COLLECTION, left.rkey, {"$type": OLD_COLLECTION, "title": "Left"})

    await settle_all(desk)

    assert all_delivered(desk, back)
    assert sent(desk) == ["applyWrites"]
    assert (desk.mirror(left.track_id).state, desk.mirror(left.track_id).reason) == (
        "rejected",
        "migration_needed",
    )
    assert desk.remote(left) is None


async def test_a_live_edit_waits_for_one_batch_at_most(desk: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "MAX_BATCH_RECORDS", 3)
    tracks = await wiped(desk, 9)

    async def edit_meanwhile(send: Callable[[], Any]) -> httpx.Response:
        desk.edit(9, title="now")
        reply: httpx.Response = await send()
        return reply

    desk.wire.faults += [edit_meanwhile]
    await settle_all(desk)
    assert sent(desk)[:2] == ["applyWrites", "putRecord"]
    assert desk.wire.sent[1][1]["rkey"] == tracks[8].rkey
    assert all_delivered(desk, tracks)


@pytest.mark.parametrize(
    ("limit", "left", "resets_in", "records"),
    [(5000, 5000, 1, SEVERAL), (5000, 2515, 1, 5), (5000, 2501, 1, 0), (20, 0, -1, 3)],
    ids=["plenty", "little", "too little", "a small limit that is full again"],
)
async def test_a_batch_leaves_half_of_the_points_to_live_work(
    desk: Rig, limit: int, left: int, resets_in: int, records: int
) -> None:
    await wiped(desk)
    with desk.database.write() as connection:
        reset = desk.clock() + timedelta(hours=resets_in)
        change_lane(connection, desk.did, hour_limit=limit, hour_left=left, hour_reset=reset)
    await desk.relay_once()
    name, body = desk.wire.sent[0]
    assert (len(body["writes"]) if name == "applyWrites" else 0) == records


async def test_a_batch_is_no_larger_than_a_pds_takes(desk: Rig) -> None:
    tracks = await wiped(desk, 30, description="é" * 2500)
    await settle_all(desk)
    sizes = [len(body["writes"]) for name, body in desk.wire.sent if name == "applyWrites"]
    assert sizes == [24, 6]
    assert all_delivered(desk, tracks)


async def test_a_record_that_was_never_in_its_collection_is_created_alone_and_deleted_with_its_track(
    desk: Rig,
) -> None:
    tracks = [desk.upload(number, collection=OLD_COLLECTION) for number in (1, 2)]
    await desk.relay_once()
    for track in tracks:
        desk.pds.delete_record(desk.did, OLD_COLLECTION, track.rkey)
        moves(desk, track.track_id)
    with desk.database.write() as connection:
        queue_as_backfill(connection, desk.did, Track.subjects([1, 2]), desk.clock())
    desk.wire.sent.clear()
    desk.wire.faults += [answer_lost] * 2
    await desk.relay_once()
    for track in tracks:
        desk.command(track.track_id, lambda each: each.delete(at=desk.clock()))
    await settle_all(desk)
    assert [desk.remote(track) for track in tracks] == [None, None]
    assert "applyWrites" not in sent(desk)
