"""A record that is to be verified is read by its lane's holder; the finding is settled as after a write."""

import asyncio
from functools import partial
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from aggregates.tracks.track import Track
from outbox.mirror.tables import NEVER, mirror_target
from outbox.relay.result import Outcome
from tests.dsl import COLLECTION
from tests.fake_pds.xrpc import RefusedError
from tests.outbox.rigs.foreign_writes import (
    delivered,
    foreign_delete,
    foreign_put,
    reads,
    request_verify,
    sent,
    target,
    verified,
)
from tests.outbox.rigs.relay_rig import LONG, RECORDS, Rig
from tests.outbox.rigs.wire import answered, meanwhile
from tests.servers.databases import ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_SQLITE]


async def test_a_verification_that_finds_the_record_unchanged_sends_nothing_and_ends(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await delivered(desk)
    keys = reads(desk, monkeypatch)
    assert await verified(desk) == {Outcome.SEEN: 1}
    assert (len(keys), sent(desk), desk.types()) == (1, [], ["Created"])
    assert target(desk).look_at == NEVER
    assert await desk.relay_once() == {}


async def test_fields_that_we_do_not_know_are_kept_and_need_no_write(desk: Rig) -> None:
    track = await delivered(desk)
    foreign_put(desk, track, x=1)
    assert await verified(desk) == {Outcome.DELIVERED: 1}
    assert (sent(desk), desk.types()) == ([], ["Created"])
    track = desk.edit(title="next")
    await desk.relay_once()
    assert desk.remote(track) == {**RECORDS.record_of(track, desk.mirror().generation), "x": 1}
    assert sent(desk) == ["putRecord"]  # on the base that the verification had found


def take_down(desk: Rig, track: Track) -> None:
    desk.pds.repo(desk.did).taken_down.add((COLLECTION, track.rkey))


async def test_a_record_that_was_taken_down_after_an_unanswered_create_is_written_over(desk: Rig) -> None:
    track = desk.upload()

    async def lost_and_taken_down(send: Any) -> Any:
        await send()
        take_down(desk, track)
        raise httpx.ReadTimeout("no answer")

    desk.wire.faults = [lost_and_taken_down]
    await desk.relay_once()
    desk.edit(title="next")
    desk.clock.advance(minutes=10)
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}
    assert desk.mirror().state == "delivered"


async def test_a_record_that_was_taken_down_is_not_taken_for_a_deleted_one(desk: Rig) -> None:
    track = await delivered(desk)
    take_down(desk, track)

    assert await verified(desk) == {Outcome.SEEN: 1}
    assert await desk.relay_once() == {}

    assert (desk.mirror().state, desk.types()) == ("delivered", ["Created"])
    desk.edit(title="next")
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}


async def test_a_verification_that_fails_is_tried_later_and_delays_no_other_record(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await delivered(desk, 1)
    with monkeypatch.context() as patched:
        keys = reads(desk, patched, RefusedError(500, "InternalServerError"))
        sibling = desk.upload(2)
        assert await verified(desk, 1) == {Outcome.DELIVERED: 1, Outcome.FAILED: 1}
        assert desk.remote(sibling) is not None
        assert (await desk.relay_once(), len(keys)) == ({}, 1)
        for tries in range(2, 6):  # each pause is longer than the one before
            pause = target(desk).look_at - desk.clock()
            desk.clock.advance(seconds=pause.total_seconds() + 0.1)
            assert await desk.relay_once() == {Outcome.FAILED: 1}
            assert (len(keys), target(desk).attempts) == (tries, tries)
        desk.edit(2, title="meanwhile")
        assert await desk.relay_once() == {Outcome.DELIVERED: 1}
    assert desk.mirror(1).state == "delivered"
    desk.clock.advance(minutes=10)
    assert await desk.relay_once() == {Outcome.SEEN: 1}
    assert (target(desk).attempts, desk.mirror(1).last_error) == (0, None)


async def test_a_record_counts_as_deleted_only_once_the_pds_has_said_so(desk: Rig) -> None:
    track = await delivered(desk)
    foreign_delete(desk, track)
    desk.wire.faults += [answered(503, "Busy")]  # to the question whether it is gone
    assert await verified(desk) == {Outcome.FAILED: 1}
    assert (desk.mirror().state, desk.types()) == ("delivered", ["Created"])
    desk.clock.advance(minutes=10)
    assert await desk.relay_once() == {Outcome.MISSING: 1}


async def test_a_record_that_another_client_writes_again_meanwhile_does_not_count_as_deleted(
    desk: Rig,
) -> None:
    track = await delivered(desk)
    theirs = {**(desk.remote(track) or {}), "title": "theirs"}
    foreign_delete(desk, track)
    put_again = partial(desk.pds.put_record, desk.did, COLLECTION, track.rkey, theirs)
    desk.wire.faults += [meanwhile(put_again)]  # on the question whether it is gone
    assert await verified(desk) == {Outcome.FAILED: 1}
    assert (desk.mirror().state, desk.types()) == ("delivered", ["Created"])

    desk.clock.advance(minutes=10)
    assert await desk.relay_once() == {Outcome.HELD: 1}
    assert desk.remote(track) == theirs
    assert desk.types() == ["Created", "ForeignEditObserved"]


async def test_a_create_that_comes_after_its_delete_is_put_right(desk: Rig) -> None:
    track = await delivered(desk)
    created = desk.remote(track)
    desk.command(1, lambda track: track.delete(at=desk.clock()))
    await desk.relay_once()
    desk.pds.put_record(desk.did, COLLECTION, track.rkey, created or {})
    assert await verified(desk) == {Outcome.DELIVERED: 1}
    assert (desk.remote(track), desk.mirror().state) == (None, "delivered")


async def test_what_others_put_in_place_of_a_deleted_record_is_theirs(desk: Rig) -> None:
    track = await delivered(desk)
    desk.command(1, lambda track: track.delete(at=desk.clock()))
    await desk.relay_once()
    desk.pds.put_record(desk.did, COLLECTION, track.rkey, {"$type": COLLECTION, "title": "theirs"})
    assert await verified(desk) == {Outcome.SEEN: 1}
    assert desk.remote(track) == {"$type": COLLECTION, "title": "theirs"}


async def test_of_a_held_record_the_same_edit_is_nothing_new_and_another_one_is(desk: Rig) -> None:
    track = await delivered(desk)
    foreign = foreign_put(desk, track, title="foreign")
    assert await verified(desk) == {Outcome.HELD: 1}
    assert (desk.remote(track), sent(desk)) == (foreign, [])
    assert await verified(desk) == {Outcome.SEEN: 1}
    assert desk.types().count("ForeignEditObserved") == 1
    foreign_put(desk, track, title="again")
    assert await verified(desk) == {Outcome.HELD: 1}
    assert desk.types().count("ForeignEditObserved") == 2
    assert desk.mirror().state == "held"


@pytest.mark.parametrize("found", ["ForeignEditObserved", "RecordMissing"])
async def test_an_edit_that_waited_for_its_owner_to_decide_is_sent_when_the_record_is_as_it_was(
    desk: Rig, found: str
) -> None:
    track = await delivered(desk)
    ours = desk.remote(track)
    if found == "RecordMissing":
        foreign_delete(desk, track)
    else:
        foreign_put(desk, track, title="foreign")
    await verified(desk)
    track = desk.edit(album="waited")
    assert await desk.relay_once() == {}
    foreign_put(desk, track, **(ours or {}))
    assert await verified(desk) == {Outcome.DELIVERED: 1}
    assert desk.remote(track) == RECORDS.record_of(track, desk.mirror().generation)
    assert desk.mirror().state == "delivered"
    assert desk.types() == ["Created", found, "MetadataUpdated", "ForeignEditWithdrawn"]


async def test_a_detached_record_stays_detached_whatever_else_comes(desk: Rig) -> None:
    track = await delivered(desk)
    ours = desk.remote(track)
    foreign_delete(desk, track)
    await verified(desk)
    foreign_put(desk, track, **{**(ours or {}), "title": "foreign"})
    assert await verified(desk) == {Outcome.SEEN: 1}
    assert (desk.mirror().state, sent(desk)) == ("detached", ["putRecord"])  # which asked whether it is gone
    assert desk.types() == ["Created", "RecordMissing"]


async def test_a_verification_of_a_rejected_record_sends_nothing_and_keeps_foreign_fields(desk: Rig) -> None:
    track = await delivered(desk)
    desk.wire.faults += [answered(400, "InvalidRecord")]
    desk.edit(title="refused")
    await desk.relay_once()
    desk.wire.sent.clear()
    foreign_put(desk, track, x=1)
    assert await verified(desk) == {Outcome.REBASED: 1}
    assert (desk.mirror().state, sent(desk)) == ("rejected", [])
    track = desk.edit(title="mended")
    await desk.relay_once()
    assert desk.remote(track) == {**RECORDS.record_of(track, desk.mirror().generation), "x": 1}
    assert sent(desk) == ["putRecord"]


async def test_a_verification_of_a_rejected_record_finds_foreign_changes(desk: Rig) -> None:
    track = await delivered(desk)
    desk.wire.faults += [answered(400, "InvalidRecord")]
    desk.edit(title="refused")
    await desk.relay_once()
    foreign_put(desk, track, title="foreign")
    assert await verified(desk) == {Outcome.HELD: 1}
    foreign_delete(desk, track)
    assert await verified(desk) == {Outcome.MISSING: 1}
    assert desk.mirror().state == "detached"


async def test_a_delivered_record_that_cannot_be_read_stays_delivered_and_is_verified_later(
    desk: Rig,
) -> None:
    await delivered(desk)
    observed = target(desk).observed_body
    desk.execute(update(mirror_target).values(observed_body=b"\xff"))
    request_verify(desk)

    async with asyncio.timeout(LONG):  # a relay that polls without end is cut off
        assert await desk.relay_once() == {Outcome.FAILED: 1}
        assert await desk.relay_once() == {}
    assert (desk.mirror().state, target(desk).state) == ("delivered", "idle")
    assert target(desk).last_error

    desk.execute(update(mirror_target).values(observed_body=observed))  # a release that can read it
    desk.clock.advance(hours=1)
    assert await desk.relay_once() == {Outcome.SEEN: 1}
    assert target(desk).last_error is None
