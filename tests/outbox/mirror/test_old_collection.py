"""The relay looks in the old collection before it restores a record, and reads what it moves from there before it writes."""

from typing import Any

import httpx
import pytest

from aggregates.tracks.track import Track
from application.records import OnPds, Resolution
from tests.dsl import COLLECTION, OLD_COLLECTION
from tests.fake_pds.signed_in_pds import SignedInPds
from tests.outbox.rigs.foreign_writes import delivered, scan, verified
from tests.outbox.rigs.namespace_move import (
    FOREIGN,
    WAIT,
    decides,
    moves,
    old,
    writes,
    writes_elsewhere,
)
from tests.outbox.rigs.relay_rig import Rig
from tests.outbox.rigs.wire import answer_lost, refused
from tests.servers.databases import ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_SQLITE]
NEEDED = ("rejected", "migration_needed")


async def in_the_old_collection_alone(rig: Rig, **fields: Any) -> Track:
    """A track that the log places in the current collection, whose record is in the old one with another client's field."""
    track = await delivered(rig)
    there = {**(rig.remote(track) or {}), "$type": OLD_COLLECTION, **FOREIGN, **fields}
    rig.pds.put_record(rig.did, OLD_COLLECTION, track.rkey, there)
    rig.pds.delete_record(rig.did, COLLECTION, track.rkey)
    return track


def restores(rig: Rig) -> None:
    """The owner has the record restored; the look before that was not answered."""
    rig.command(1, lambda track: track.restore_record(at=rig.clock()))


def moves_what_is_left(rig: Rig) -> None:
    """The owner moves the record; the look before that was not answered."""
    moves(rig, found=OnPds.UNKNOWN)


def state(rig: Rig) -> tuple[str, str | None]:
    mirror = rig.mirror()
    return mirror.state, mirror.reason


@pytest.mark.parametrize("seen", [False, True])
async def test_a_record_is_not_restored_beside_one_in_the_old_collection(desk: Rig, seen: bool) -> None:
    track = await in_the_old_collection_alone(desk)
    before = old(desk, track)
    if seen:
        await verified(desk)
        assert desk.mirror().state == "detached"
    restores(desk)
    await desk.relay_once()
    assert (desk.remote(track), old(desk, track), state(desk)) == (None, before, NEEDED)
    assert [attempt for attempt in desk.attempts() if attempt.ended_at is None] == []
    desk.edit(title="later")
    await desk.relay_once()
    assert (desk.remote(track), state(desk)) == (None, NEEDED)


async def test_a_record_is_not_restored_before_the_look_is_answered(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = await in_the_old_collection_alone(desk)
    restores(desk)
    assert isinstance(desk.pds, SignedInPds)
    answer = desk.pds.answer

    def silent_on_the_old(request: httpx.Request, content: bytes) -> httpx.Response:
        if request.url.params.get("collection") == OLD_COLLECTION:
            return httpx.Response(503)
        return answer(request, content)

    with monkeypatch.context() as patched:
        patched.setattr(desk.pds, "answer", silent_on_the_old)
        await desk.relay_once()
        assert (desk.remote(track), desk.mirror().state) == (None, "pending")
    desk.clock.advance(**WAIT)
    await desk.relay_once()
    assert (desk.remote(track), state(desk)) == (None, NEEDED)


async def test_a_scan_releases_a_record_once_the_old_collection_has_none(desk: Rig) -> None:
    track = await in_the_old_collection_alone(desk)
    restores(desk)
    await desk.relay_once()
    await scan(desk)
    await desk.relay_once()
    assert (desk.remote(track), state(desk)) == (None, NEEDED)
    desk.pds.delete_record(desk.did, OLD_COLLECTION, track.rkey)
    await scan(desk)
    await desk.relay_once()
    assert (desk.remote(track) is not None, state(desk)) == (True, ("delivered", None))


async def test_an_uploaded_record_is_created_without_a_look(desk: Rig) -> None:
    track = desk.upload()
    desk.pds.put_record(desk.did, OLD_COLLECTION, track.rkey, {"$type": OLD_COLLECTION, "title": "theirs"})
    await desk.relay_once()
    assert (desk.remote(track) is not None, state(desk)) == (True, ("delivered", None))


@pytest.mark.parametrize("restored", [False, True])
async def test_what_is_left_in_the_old_collection_moves_with_its_fields(desk: Rig, restored: bool) -> None:
    track = await in_the_old_collection_alone(desk)
    before = old(desk, track) or {}
    if restored:
        restores(desk)
        await desk.relay_once()
    moves_what_is_left(desk)
    moves_what_is_left(desk)
    desk.wire.sent.clear()
    await desk.relay_once()
    assert writes(desk)[-2:] == [("putRecord", COLLECTION), ("deleteRecord", OLD_COLLECTION)]
    assert desk.wire.sent[-1][1]["swapRecord"] is not None
    own = {"$type": COLLECTION, "mastertapeGen": desk.mirror().generation}
    assert (desk.remote(track), old(desk, track)) == ({**before, **own}, None)
    assert desk.mirror().is_settled
    assert desk.types().count("NamespaceMigrated") == 1


async def test_what_is_left_is_read_again_after_a_crash_and_never_deleted_unread(desk: Rig) -> None:
    track = await in_the_old_collection_alone(desk)
    moves_what_is_left(desk)
    desk.wire.faults += [refused]
    await desk.relay_once()
    writes_elsewhere(desk, track, note="x")
    desk.clock.advance(**WAIT)
    await desk.relay_once()
    assert (old(desk, track) or {})["note"] == "x"
    assert [each.state for each in desk.mirror().left] == ["held"]
    decides(desk, Resolution.OURS)
    await desk.relay_once()
    record = desk.remote(track) or {}
    assert (record["note"], record["likes"], old(desk, track)) == ("x", 3, None)


async def test_a_move_of_nothing_leaves_the_record_as_it_is(desk: Rig) -> None:
    track = await delivered(desk)
    moves_what_is_left(desk)
    await desk.relay_once()
    assert (desk.remote(track) is not None, old(desk, track), desk.mirror().is_settled) == (True, None, True)


async def test_a_copy_that_landed_late_is_read_before_it_goes(desk: Rig) -> None:
    track = desk.upload(collection=OLD_COLLECTION)
    desk.wire.faults += [answer_lost]
    await desk.relay_once()
    writes_elsewhere(desk, track, **FOREIGN)
    moves(desk)
    desk.clock.advance(**WAIT)
    await desk.relay_once()
    assert (old(desk, track), (desk.remote(track) or {})["likes"]) == (None, 3)
    assert desk.mirror().record_cid in {attempt.request_cid for attempt in desk.attempts()}
