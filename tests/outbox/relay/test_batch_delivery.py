"""A batch creates records of a replay, or makes live edits, all at once; they go one by one as soon as anything is in the way."""

from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from aggregates.tracks.track import Track
from outbox.mirror.lanes import change_lane
from outbox.mirror.requeue import queue_as_backfill
from outbox.relay import batch, relay
from outbox.relay.delivery_task import BATCH_FROM
from outbox.relay.result import Outcome
from tests.dsl import COLLECTION, OLD_COLLECTION
from tests.outbox.rigs.foreign_writes import foreign_delete, foreign_put, sent, verified
from tests.outbox.rigs.namespace_move import moves
from tests.outbox.rigs.rate_limits import replies_with
from tests.outbox.rigs.relay_rig import Rig
from tests.outbox.rigs.replays import (
    SEVERAL,
    all_delivered,
    edited,
    lost,
    restore,
    settle_all,
    wiped,
)
from tests.outbox.rigs.rows import lane_row
from tests.outbox.rigs.wire import LateRequest, answer_lost, answered, meanwhile, refused
from tests.servers.databases import ON_BOTH, ON_SQLITE
from tests.statements import recorded_statements

pytestmark = [pytest.mark.anyio, ON_SQLITE]
batches = pytest.mark.parametrize("begun", [wiped, edited], ids=["replay", "edits"])
FEW = 5

Begun = Callable[[Rig], Awaitable[list[Track]]]
THEIRS = {"$type": COLLECTION, "title": "theirs"}


@pytest.fixture
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "MAX_BATCH_RECORDS", FEW)


@ON_BOTH
async def test_each_further_record_of_a_batch_takes_two_statements(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "EARLY_RELEASE_SECONDS", 3600.0)
    counts = []
    tracks = await lost(desk, 30)
    for some in (tracks[:10], tracks[10:]):
        restore(desk, some)
        with recorded_statements(desk.database.engine) as statements:
            await desk.relay_once()
        counts.append(len(statements))
    assert counts[1] - counts[0] == 20  # its events, and its target
    assert sent(desk) == ["applyWrites"] * 2


async def test_each_record_of_a_batch_has_its_own_attempt_with_the_revision_of_the_commit(desk: Rig) -> None:
    tracks = await wiped(desk)
    await desk.relay_once()
    rows = [row for track in tracks for row in desk.attempts(track.track_id)[1:]]
    assert {(row.op, row.swap_cid, row.outcome) for row in rows} == {("put", None, "done")}
    assert {row.rev for row in rows} == {desk.pds.repo(desk.did).head.rev}
    assert [row.request_cid for row in rows] == [desk.mirror(track.track_id).record_cid for track in tracks]


async def test_a_login_that_is_refused_for_a_batch_parks_the_account_at_once(desk: Rig) -> None:
    await wiped(desk)
    desk.wire.faults += [answered(400, "InvalidToken")] * 3
    await desk.relay_once()
    assert (sent(desk), lane_row(desk.database, desk.did).state) == (["applyWrites"], "auth_required")


async def test_the_pauses_after_batches_without_an_answer_grow(desk: Rig) -> None:
    await wiped(desk)
    for failures in (1, 2, 3):
        desk.wire.faults += [refused]
        await desk.relay_once()
        assert lane_row(desk.database, desk.did).failures == failures
        desk.clock.advance(minutes=10)


async def test_the_intents_of_all_records_are_committed_before_the_batch_is_sent(desk: Rig) -> None:
    tracks = await wiped(desk)
    noted: list[list[Any]] = []
    desk.wire.faults += [
        meanwhile(lambda: noted.extend(desk.attempts(track.track_id)[1:] for track in tracks))
    ]
    await desk.relay_once()
    assert [row.outcome for rows in noted for row in rows] == [None] * SEVERAL


@batches
async def test_another_clients_write_in_between_survives_and_the_records_go_one_by_one(
    desk: Rig, begun: Begun
) -> None:
    tracks = await begun(desk)
    desk.wire.faults += [meanwhile(lambda: overwritten(desk, tracks[2]))]
    await settle_all(desk)
    assert Counter(sent(desk)) == {"applyWrites": 1, "putRecord": SEVERAL}
    assert desk.remote(tracks[2]) == THEIRS
    assert desk.mirror(tracks[2].track_id).state == "held"
    assert all_delivered(desk, [track for track in tracks if track is not tracks[2]])
    first = desk.attempts(tracks[0].track_id)[1]
    assert (first.outcome, first.error) == ("read_back", "batch: InvalidSwap")


@batches
@pytest.mark.parametrize(
    "fault",
    [
        answer_lost,
        answered(500, "InternalServerError"),
        answered(501, "MethodNotImplemented"),
        answered(429, "RateLimitExceeded"),
        answered(200, "no answer of a PDS"),
    ],
    ids=["answer lost", "500", "501", "429", "unreadable"],
)
async def test_whatever_becomes_of_a_batch_it_is_not_sent_again_and_all_records_arrive(
    desk: Rig, begun: Begun, fault: Any
) -> None:
    tracks = await begun(desk)
    desk.wire.faults += [fault]
    before = len(desk.pds.repo(desk.did).commits)
    await settle_all(desk)
    assert Counter(sent(desk)) == {"applyWrites": 1, "putRecord": SEVERAL}
    assert len(desk.pds.repo(desk.did).commits) == before + SEVERAL  # nothing twice with effect
    assert all_delivered(desk, tracks)


async def test_a_batch_that_arrives_late_overwrites_nothing(desk: Rig) -> None:
    tracks = await wiped(desk)
    late = LateRequest()
    desk.wire.faults += [late]
    await desk.relay_once()
    desk.edit(1, title="newer")
    desk.command(2, lambda track: track.delete(at=desk.clock()))
    await settle_all(desk)
    assert await late.arrives() == 400
    assert desk.remote(tracks[0])["title"] == "newer"
    assert desk.remote(tracks[1]) is None


@batches
async def test_a_refused_connection_keeps_the_batch_for_later(desk: Rig, begun: Begun) -> None:
    tracks = await begun(desk)
    desk.wire.faults += [refused]
    assert await desk.relay_once() == {Outcome.FAILED: 1}
    await settle_all(desk)
    assert sent(desk) == ["applyWrites", "applyWrites"]
    assert all_delivered(desk, tracks)


async def test_a_record_that_breaks_the_lexicon_keeps_no_other_back(desk: Rig) -> None:
    tracks = await wiped(desk)
    desk.wire.faults += [answered(400, "InvalidRequest"), answered(400, "InvalidRequest")]
    await settle_all(desk)
    assert desk.mirror(tracks[0].track_id).state == "rejected"
    assert all_delivered(desk, tracks[1:])


@pytest.mark.parametrize("query", ["getLatestCommit", "listRecords"])
async def test_a_pds_that_does_not_say_what_a_batch_has_to_know_is_asked_once_in_a_run(
    desk: Rig, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    tracks = await wiped(desk, 4)
    asked = replies_with(desk.pds, monkeypatch, query, (500, {}))
    assert await desk.relay_once() == {Outcome.DELIVERED: len(tracks)}
    assert (asked.count(query), sent(desk)) == (1, ["putRecord"] * len(tracks))


@pytest.mark.parametrize("query", ["getLatestCommit", "listRecords"])
async def test_a_host_that_asks_for_a_pause_when_a_batch_is_read_for_is_sent_none_of_its_records(
    desk: Rig, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    await wiped(desk)
    asked = replies_with(desk.pds, monkeypatch, query, (429, {}))
    assert await desk.relay_once() == {Outcome.FAILED: 1}
    assert await desk.relay_once() == {}
    assert (asked.count(query), sent(desk)) == (1, [])


@ON_BOTH
@pytest.mark.usefixtures("_small_batches")
async def test_the_records_of_a_wiped_repo_come_back_in_a_few_requests(desk: Rig) -> None:
    tracks = await wiped(desk, 2 * FEW + 1)
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
    mirror = desk.mirror(left.track_id)
    assert (mirror.state, mirror.reason) == ("rejected", "migration_needed")
    assert desk.remote(left) is None


async def test_a_live_edit_waits_for_one_batch_at_most(desk: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "MAX_BATCH_RECORDS", 3)
    tracks = await wiped(desk, 9)
    desk.wire.faults += [meanwhile(lambda: desk.edit(9, title="now"))]
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


async def test_fewer_live_edits_than_are_worth_a_batch_go_alone(desk: Rig) -> None:
    tracks = await edited(desk, BATCH_FROM - 1)
    await desk.relay_once()
    assert sent(desk) == ["putRecord"] * len(tracks)


async def test_live_edits_are_one_request_after_two_reads(desk: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    tracks = await edited(desk, BATCH_FROM)
    asked = replies_with(desk.pds, monkeypatch)
    await desk.relay_once()
    assert asked == ["getLatestCommit", "listRecords", "applyWrites"]
    assert [desk.remote(track)["title"] for track in tracks] == ["Edited"] * BATCH_FROM


@pytest.mark.usefixtures("_small_batches")
async def test_batches_of_live_edits_read_what_the_ones_before_them_did_not(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracks = await edited(desk, 2 * FEW)
    asked = replies_with(desk.pds, monkeypatch)
    await desk.relay_once()
    assert asked == ["getLatestCommit", "listRecords", "applyWrites", "listRecords", "applyWrites"]
    assert all_delivered(desk, tracks)


async def test_live_edits_far_apart_in_their_collection_go_one_by_one(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracks = await edited(desk)
    monkeypatch.setattr(batch, "RECORDS_PER_PAGE", BATCH_FROM - 1)
    asked = replies_with(desk.pds, monkeypatch)
    await desk.relay_once()
    alone = ["putRecord"] * (len(tracks) - BATCH_FROM + 1)
    assert asked == ["getLatestCommit", "listRecords", "applyWrites", *alone]


@pytest.mark.parametrize("then", ["getLatestCommit", "listRecords"])
@pytest.mark.parametrize("is_delete", [False, True], ids=["edit", "delete"])
async def test_what_another_client_does_between_the_reads_of_a_batch_and_its_writes_stays(
    desk: Rig, monkeypatch: pytest.MonkeyPatch, then: str, is_delete: bool
) -> None:
    tracks = await edited(desk)
    acts = [foreign_delete if is_delete else overwritten]
    as_it_is = desk.pds.answer

    def answer(request: httpx.Request, content: bytes) -> httpx.Response:
        reply = as_it_is(request, content)
        if request.url.path.endswith(then) and acts:
            acts.pop()(desk, tracks[2])
        return reply

    monkeypatch.setattr(desk.pds, "answer", answer)
    await settle_all(desk)
    assert desk.remote(tracks[2]) == (None if is_delete else THEIRS)
    assert all_delivered(desk, [track for track in tracks if track is not tracks[2]])


async def test_what_another_client_did_before_is_held_and_the_others_go_together(desk: Rig) -> None:
    tracks = await edited(desk)
    overwritten(desk, tracks[2])
    await settle_all(desk)
    assert Counter(sent(desk)) == {"applyWrites": 1, "putRecord": 1}
    assert (desk.remote(tracks[2]), desk.mirror(tracks[2].track_id).state) == (THEIRS, "held")
    assert all_delivered(desk, [track for track in tracks if track is not tracks[2]])


async def test_a_batch_of_edits_keeps_what_other_clients_have_added(desk: Rig) -> None:
    tracks = await edited(desk)
    foreign_put(desk, tracks[0], mood="calm")
    await verified(desk, tracks[0].track_id)
    for track in tracks:
        desk.edit(track.track_id, title="Again")
    await settle_all(desk)
    assert (desk.remote(tracks[0])["title"], desk.remote(tracks[0])["mood"]) == ("Again", "calm")


def overwritten(desk: Rig, track: Track) -> None:
    desk.pds.put_record(desk.did, COLLECTION, track.rkey, THEIRS)
