"""A record moves to another collection: never a moment without it, and everything accounted for."""

import httpx
import pytest
from sqlalchemy import select, update

from outbox.mirror.tables import mirror_target
from projections.rebuild.rebuild import rebuild
from tests.dsl import COLLECTION, OLD_COLLECTION
from tests.fake_pds.signed_in_pds import SignedInPds
from tests.outbox.rigs.namespace_move import (
    WAIT,
    event_statuses,
    in_the_old_place,
    moves,
    moves_back,
    old,
    writes,
    writes_elsewhere,
)
from tests.outbox.rigs.relay_rig import Rig
from tests.outbox.rigs.wire import answer_lost, refused
from tests.servers.databases import ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_SQLITE]


async def test_the_new_record_is_there_before_the_old_one_goes(desk: Rig) -> None:
    track = await in_the_old_place(desk)
    before = old(desk, track)
    assert before is not None
    moves(desk)
    desk.wire.sent.clear()
    await desk.relay_once()
    assert writes(desk) == [("putRecord", COLLECTION), ("deleteRecord", OLD_COLLECTION)]
    assert old(desk, track) is None
    own = {"$type": COLLECTION, "mastertapeGen": desk.mirror().generation}
    assert desk.remote(track) == {**before, **own}
    mirror = desk.mirror()
    assert (mirror.state, mirror.left, mirror.record_uri) == (
        "delivered", (), f"at://{desk.did}/{COLLECTION}/{track.rkey}",
    )  # fmt: skip
    assert event_statuses(desk) == [("Created", "delivered"), ("NamespaceMigrated", "delivered")]


async def test_its_blob_is_served_all_the_while(desk: Rig) -> None:
    track = await in_the_old_place(desk)
    desk.command(1, lambda track: track.request_blob_migration(at=desk.clock()))
    await desk.relay_once()
    cid = track.audio.cid
    served = []
    assert isinstance(desk.pds, SignedInPds)
    answer = desk.pds.answer

    def watched(request: httpx.Request, content: bytes) -> httpx.Response:
        reply = answer(request, content)
        if request.url.path.endswith(("putRecord", "deleteRecord")):
            served.append(desk.pds.get_blob(desk.did, cid) is not None)
        return reply

    desk.pds.answer = watched  # type: ignore[method-assign]
    moves(desk)
    await desk.relay_once()
    assert served == [True, True]
    assert (desk.remote(track) or {})["audioBlob"]["ref"]["$link"] == cid


async def test_a_record_moves_back_to_where_our_own_unanswered_delete_has_landed(desk: Rig) -> None:
    track = await in_the_old_place(desk)
    before = old(desk, track) or {}
    moves(desk)
    desk.wire.faults += [lambda send: send(), answer_lost]
    await desk.relay_once()
    assert old(desk, track) is None
    moves_back(desk)
    desk.clock.advance(**WAIT)
    await desk.relay_once()
    mirror = desk.mirror()
    assert (mirror.state, mirror.is_settled, desk.remote(track)) == ("delivered", True, None)
    assert old(desk, track) == {**before, "mastertapeGen": mirror.generation}


async def test_the_old_one_waits_for_the_new_one(desk: Rig) -> None:
    track = await in_the_old_place(desk)
    moves(desk)
    desk.wire.faults += [refused]
    await desk.relay_once()
    mirror = desk.mirror()
    assert (mirror.state, mirror.reason) == ("pending", "backoff")
    assert [(each.state, each.reason) for each in mirror.left] == [("pending", "successor")]
    assert (old(desk, track) is not None, desk.remote(track)) == (True, None)
    assert event_statuses(desk) == [("Created", "delivered"), ("NamespaceMigrated", "pending")]
    desk.clock.advance(**WAIT)
    await desk.relay_once()
    assert (old(desk, track), desk.mirror().is_settled) == (None, True)


async def test_what_was_still_to_be_written_goes_to_the_new_place_alone(desk: Rig) -> None:
    track = await in_the_old_place(desk)
    desk.edit(title="unsent")
    moves(desk)
    desk.wire.sent.clear()
    await desk.relay_once()
    assert writes(desk) == [("putRecord", COLLECTION), ("deleteRecord", OLD_COLLECTION)]
    assert (desk.remote(track) or {})["title"] == "unsent"
    assert event_statuses(desk)[1:] == [("MetadataUpdated", "superseded"), ("NamespaceMigrated", "delivered")]


async def test_a_record_that_never_was_in_the_old_place_is_made_in_the_new_one(desk: Rig) -> None:
    track = desk.upload(collection=OLD_COLLECTION)
    moves(desk)
    await desk.relay_once()
    assert writes(desk) == [("putRecord", COLLECTION)]
    assert (desk.remote(track) is not None, desk.mirror().is_settled) == (True, True)
    assert event_statuses(desk) == [("Created", "superseded"), ("NamespaceMigrated", "delivered")]


async def test_a_track_that_is_deleted_before_it_moved_leaves_nothing(desk: Rig) -> None:
    track = await in_the_old_place(desk)
    moves(desk)
    desk.command(1, lambda track: track.delete(at=desk.clock()))
    desk.wire.sent.clear()
    await desk.relay_once()
    assert writes(desk) == [("deleteRecord", OLD_COLLECTION)]
    assert (old(desk, track), desk.remote(track), desk.mirror().is_settled) == (None, None, True)
    assert event_statuses(desk)[-1] == ("Deleted", "delivered")


async def test_a_track_that_is_deleted_between_the_two_writes_leaves_nothing(desk: Rig) -> None:
    track = await in_the_old_place(desk)
    moves(desk)
    desk.wire.faults += [lambda send: send(), refused]
    await desk.relay_once()
    writes_elsewhere(desk, track, title="theirs")
    desk.command(1, lambda track: track.delete(at=desk.clock()))
    desk.clock.advance(**WAIT)
    await desk.relay_once()
    desk.clock.advance(**WAIT)
    await desk.relay_once()
    assert (old(desk, track), desk.remote(track), desk.mirror().is_settled) == (None, None, True)


async def test_a_track_that_comes_back_comes_back_in_the_new_place_and_the_old_one_waits_for_it(
    desk: Rig,
) -> None:
    track = await in_the_old_place(desk)
    moves(desk)
    desk.command(1, lambda track: track.delete(at=desk.clock()))
    desk.command(1, lambda track: track.undelete(at=desk.clock()))
    desk.wire.sent.clear()
    await desk.relay_once()
    assert writes(desk) == [("putRecord", COLLECTION), ("deleteRecord", OLD_COLLECTION)]
    assert (old(desk, track), desk.mirror().is_settled) == (None, True)


@pytest.mark.parametrize("done", [False, True])
async def test_a_rebuild_makes_both_targets_again(desk: Rig, done: bool) -> None:
    await in_the_old_place(desk)
    moves(desk)
    if done:
        await desk.relay_once()
    before = desk.rows(select(mirror_target).order_by(mirror_target.c.former))
    with desk.database.write() as connection:  # one of them is thought to be the other
        here = mirror_target.c.collection == COLLECTION
        connection.execute(update(mirror_target).where(here).values(former=True))
        connection.execute(update(mirror_target).where(~here).values(former=False, desired_gen=1))
    rebuild(desk.log, desk.log.projections, progress=lambda *_: None)
    assert desk.rows(select(mirror_target).order_by(mirror_target.c.former)) == before
