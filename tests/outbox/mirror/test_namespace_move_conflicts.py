"""A record moves while others write, delete or restore it in either place: nothing of theirs is lost."""

import pytest

from application.records import Resolution
from outbox.relay.result import Outcome
from tests.dsl import COLLECTION, OLD_COLLECTION
from tests.outbox.rigs.foreign_writes import verified
from tests.outbox.rigs.namespace_move import (
    FOREIGN,
    WAIT,
    decides,
    in_the_old_place,
    moves,
    old,
    writes,
    writes_elsewhere,
)
from tests.outbox.rigs.relay_rig import Rig
from tests.outbox.rigs.wire import refused
from tests.servers.databases import ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_SQLITE]


async def test_a_record_that_was_deleted_elsewhere_comes_back_in_the_new_place(desk: Rig) -> None:
    track = await in_the_old_place(desk)
    desk.pds.delete_record(desk.did, OLD_COLLECTION, track.rkey)
    desk.edit(title="unsent")
    await desk.relay_once()
    assert desk.mirror().state == "detached"
    moves(desk)
    await desk.relay_once()
    assert ((desk.remote(track) or {})["title"], desk.mirror().is_settled) == ("unsent", True)


@pytest.mark.parametrize("keep", list(Resolution))
@pytest.mark.parametrize("theirs", [{"title": "theirs", "note": "x"}, {"note": "x"}])
async def test_what_somebody_wrote_in_the_old_place_meanwhile_is_kept_until_its_owner_decides(
    desk: Rig, keep: Resolution, theirs: dict[str, str]
) -> None:
    track = await in_the_old_place(desk)
    moves(desk)
    writes_elsewhere(desk, track, **theirs)
    await desk.relay_once()
    assert old(desk, track) is not None
    mirror = desk.mirror()
    assert (mirror.state, mirror.reason, [each.state for each in mirror.left]) == (
        "held", "foreign_edit", ["held"],
    )  # fmt: skip
    decides(desk, keep)
    await desk.relay_once()
    title = theirs.get("title", track.title) if keep is Resolution.THEIRS else track.title
    record = desk.remote(track) or {}
    assert (old(desk, track), record["title"], desk.mirror().is_settled) == (None, title, True)
    assert {name: record[name] for name in ("likes", "note")} == {**FOREIGN, "note": "x"}


async def test_what_is_kept_of_the_old_place_is_not_lost_to_what_somebody_writes_in_the_new_one(
    desk: Rig,
) -> None:
    track = await in_the_old_place(desk)
    moves(desk)
    writes_elsewhere(desk, track, title="theirs", note="x")
    await desk.relay_once()
    decides(desk, Resolution.OURS)
    desk.pds.put_record(desk.did, COLLECTION, track.rkey, {**(desk.remote(track) or {}), "plays": 7})
    await desk.relay_once()
    await desk.relay_once()
    record = desk.remote(track) or {}
    assert writes(desk)[-1] == ("deleteRecord", OLD_COLLECTION)
    assert {name: record.get(name) for name in ("likes", "note", "plays")} == {
        **FOREIGN,
        "note": "x",
        "plays": 7,
    }
    assert (old(desk, track), desk.mirror().is_settled) == (None, True)


async def test_an_edit_that_was_taken_back_lets_the_old_one_go(desk: Rig) -> None:
    track = await in_the_old_place(desk)
    before = old(desk, track) or {}
    moves(desk)
    writes_elsewhere(desk, track, title="theirs")
    await desk.relay_once()
    assert desk.mirror().state == "held"
    writes_elsewhere(desk, track, title=before["title"])
    await verified(desk)
    assert (old(desk, track), desk.mirror().is_settled) == (None, True)


async def test_a_record_moves_after_another_client_has_withdrawn_its_edit(desk: Rig) -> None:
    track = await in_the_old_place(desk)
    before = old(desk, track) or {}
    for title in ("theirs", before["title"]):
        writes_elsewhere(desk, track, title=title)
        await verified(desk)
    moves(desk)
    await desk.relay_once()
    assert (old(desk, track), (desk.remote(track) or {})["title"]) == (None, before["title"])


@pytest.mark.parametrize("keep", list(Resolution))
async def test_what_somebody_has_in_the_new_place_is_not_overwritten(desk: Rig, keep: Resolution) -> None:
    track = await in_the_old_place(desk)
    theirs = {"$type": COLLECTION, "title": "theirs", "artist": "somebody"}
    desk.pds.put_record(desk.did, COLLECTION, track.rkey, theirs)
    moves(desk)
    await desk.relay_once()
    assert (desk.remote(track), old(desk, track) is not None) == (theirs, True)
    assert (desk.mirror().state, [each.reason for each in desk.mirror().left]) == ("held", ["successor"])
    decides(desk, keep)
    await desk.relay_once()
    title = "theirs" if keep is Resolution.THEIRS else track.title
    assert ((desk.remote(track) or {})["title"], old(desk, track)) == (title, None)
    assert desk.mirror().is_settled


async def test_the_old_one_stays_when_the_new_one_is_deleted_elsewhere_before_it_went(desk: Rig) -> None:
    track = await in_the_old_place(desk)
    moves(desk)
    desk.wire.faults += [lambda send: send(), refused]
    await desk.relay_once()
    desk.pds.delete_record(desk.did, COLLECTION, track.rkey)
    desk.clock.advance(**WAIT)
    assert await desk.relay_once() == {Outcome.FAILED: 1}
    assert old(desk, track) is not None
    [left] = desk.mirror().left
    assert (left.last_error or "").startswith("successor_missing")


async def test_reading_a_held_copy_again_deletes_nothing(desk: Rig) -> None:
    track = await in_the_old_place(desk)
    moves(desk)
    writes_elsewhere(desk, track, title="theirs")
    await desk.relay_once()
    await verified(desk)
    await desk.relay_once()
    assert (old(desk, track) or {})["title"] == "theirs"
    assert desk.mirror().state == "held"
