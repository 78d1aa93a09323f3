"""Somebody doubts a record: the lane's holder reads it, and what it finds ends as if a write had met it."""

from collections import Counter
from typing import Any

import pytest
from sqlalchemy import func, select

from aggregates.track import Track
from outbox.delivery import Outcome
from outbox.lanes import release
from outbox.pds import RecordKey
from outbox.record import record_for
from outbox.settle import settle
from outbox.tables import NEVER, delivery_attempt, mirror_target
from outbox.wishes import suspect, suspect_key
from outbox.work import next_work
from tests.dsl import COLLECTION
from tests.outbox.memory_pds import XrpcError
from tests.outbox.rig import URLS, Rig, answered

pytestmark = pytest.mark.anyio


def doubt(rig: Rig, *track_ids: int) -> None:
    """A scan believes that the PDS holds something else."""
    with rig.database.write() as connection:
        suspect(connection, track_ids or (1,), rig.database.now(connection))


async def looked_at(rig: Rig, *track_ids: int) -> Counter[Outcome]:
    """The relay reads what is doubted."""
    doubt(rig, *track_ids)
    return await rig.relay_once()


def foreign_put(rig: Rig, track: Track, *without: str, **fields: Any) -> dict[str, Any]:
    """Another client writes the record."""
    record = {name: value for name, value in (rig.remote(track) or {}).items() if name not in without}
    rig.pds.put_record(rig.did, COLLECTION, track.rkey, {**record, **fields})
    return rig.remote(track) or {}


def foreign_delete(rig: Rig, track: Track) -> None:
    """Another client deletes the record."""
    rig.pds.delete_record(rig.did, COLLECTION, track.rkey)


def events(rig: Rig, track_id: int = 1) -> list[str]:
    """What the log says of a track."""
    with rig.database.read() as connection:
        recorded = rig.log.stream(connection, Track.create_id(track_id))
    return [type(each.event).__name__ for each in recorded]


def target(rig: Rig, track_id: int = 1) -> Any:
    """The row of a record."""
    with rig.database.read() as connection:
        return connection.execute(select(mirror_target).where(mirror_target.c.track_id == track_id)).one()


def sent(rig: Rig) -> list[str]:
    """What was sent in the account's name."""
    return [name for name, _ in rig.wire.sent]


def reads(rig: Rig, monkeypatch: pytest.MonkeyPatch, error: XrpcError | None = None) -> list[str]:
    """The record keys that are read from now on; to each the PDS says this error, if any."""
    keys: list[str] = []
    as_it_is = rig.pds._getRecord  # type: ignore[union-attr]  # noqa: SLF001

    def read(body: dict[str, Any]) -> dict[str, Any]:
        keys.append(body["rkey"])
        if error is not None:
            raise error
        return as_it_is(body)

    monkeypatch.setattr(rig.pds, "_getRecord", read)
    return keys


async def delivered(rig: Rig, track_id: int = 1, **fields: Any) -> Track:
    """A track whose record is on the PDS."""
    track = rig.upload(track_id, **fields)
    await rig.relay_once()
    rig.wire.sent.clear()
    return track


async def test_a_look_that_finds_the_record_as_it_was_sends_nothing_and_is_over(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await delivered(desk)
    keys = reads(desk, monkeypatch)
    assert await looked_at(desk) == {Outcome.SEEN: 1}
    assert (len(keys), sent(desk), events(desk)) == (1, [], ["Created"])
    assert target(desk).look_at == NEVER
    assert await desk.relay_once() == {}


async def test_a_foreign_edit_that_a_look_finds_is_held_and_noted(desk: Rig) -> None:
    track = await delivered(desk)
    foreign = foreign_put(desk, track, title="foreign")
    assert await looked_at(desk) == {Outcome.HELD: 1}
    assert (desk.mirror().state, desk.remote(track), sent(desk)) == ("held", foreign, [])
    assert events(desk) == ["Created", "ForeignEditObserved"]


async def test_a_foreign_delete_that_a_look_finds_is_respected(desk: Rig) -> None:
    track = await delivered(desk)
    foreign_delete(desk, track)
    assert await looked_at(desk) == {Outcome.MISSING: 1}
    assert (desk.mirror().state, desk.remote(track)) == ("detached", None)
    assert events(desk) == ["Created", "RecordMissing"]


async def test_fields_that_we_do_not_know_are_kept_and_need_no_write(desk: Rig) -> None:
    track = await delivered(desk)
    foreign_put(desk, track, x=1)
    assert await looked_at(desk) == {Outcome.DELIVERED: 1}
    assert (sent(desk), events(desk)) == ([], ["Created"])
    track = desk.edit(title="next")
    await desk.relay_once()
    assert desk.remote(track) == {**record_for(track, desk.mirror().generation, URLS), "x": 1}
    assert sent(desk) == ["putRecord"]  # on the base that the look had found


async def test_a_client_that_drops_our_generation_only_is_no_conflict(desk: Rig) -> None:
    track = await delivered(desk)
    ours = desk.remote(track)
    foreign_put(desk, track, "mastertapeGen", x=1)
    await looked_at(desk)
    assert desk.remote(track) == {**(ours or {}), "x": 1}
    assert desk.mirror().state == "delivered"


@pytest.mark.pds
async def test_a_record_that_was_taken_down_is_not_taken_for_a_deleted_one(rig: Rig) -> None:
    track = rig.upload()
    await rig.relay_once()
    taken_down = rig.pds.get_record(rig.did, COLLECTION, track.rkey)
    assert taken_down is not None
    subject = {
        "$type": "com.atproto.repo.strongRef",
        "uri": rig.mirror().record_uri,
        "cid": taken_down["cid"],
    }
    body = {"subject": subject, "takedown": {"applied": True, "ref": "test"}}
    rig.pds.procedure("com.atproto.admin.updateSubjectStatus", body, by="admin")  # type: ignore[union-attr]
    assert rig.pds.get_record(rig.did, COLLECTION, track.rkey) is None

    assert await looked_at(rig) == {Outcome.SEEN: 1}
    assert await rig.relay_once() == {}

    assert (rig.mirror().state, events(rig)) == ("delivered", ["Created"])
    rig.edit(title="next")
    assert await rig.relay_once() == {Outcome.DELIVERED: 1}


async def test_a_record_that_reads_as_absent_is_asked_for_once_a_doubt(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await delivered(desk)
    reads(desk, monkeypatch, XrpcError("RecordNotFound"))
    for _ in range(3):
        assert await looked_at(desk) == {Outcome.SEEN: 1}
        assert await desk.relay_once() == {}
    assert (sent(desk), desk.mirror().state) == (["putRecord"] * 3, "delivered")


async def test_a_look_that_fails_is_tried_later_and_keeps_nobody_waiting(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await delivered(desk, 1)
    with monkeypatch.context() as patched:
        keys = reads(desk, patched, XrpcError("InternalServerError", status=500))
        sibling = desk.upload(2)
        assert await looked_at(desk, 1) == {Outcome.DELIVERED: 1, Outcome.FAILED: 1}
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
    assert await looked_at(desk) == {Outcome.FAILED: 1}
    assert (desk.mirror().state, events(desk)) == ("delivered", ["Created"])
    desk.clock.advance(minutes=10)
    assert await desk.relay_once() == {Outcome.MISSING: 1}


async def test_of_a_held_record_the_same_edit_is_nothing_new_and_another_one_is(desk: Rig) -> None:
    track = await delivered(desk)
    foreign_put(desk, track, title="foreign")
    await looked_at(desk)
    assert await looked_at(desk) == {Outcome.SEEN: 1}
    assert events(desk).count("ForeignEditObserved") == 1
    foreign_put(desk, track, title="again")
    assert await looked_at(desk) == {Outcome.HELD: 1}
    assert events(desk).count("ForeignEditObserved") == 2
    assert desk.mirror().state == "held"


async def test_an_edit_that_was_taken_back_is_held_no_longer(desk: Rig) -> None:
    track = await delivered(desk)
    ours = desk.remote(track)
    foreign_put(desk, track, title="foreign")
    await looked_at(desk)
    foreign_put(desk, track, **(ours or {}))
    assert await looked_at(desk) == {Outcome.DELIVERED: 1}
    assert (desk.mirror().state, sent(desk)) == ("delivered", [])


async def test_an_edit_that_waited_for_a_held_record_is_sent_when_that_was_taken_back(desk: Rig) -> None:
    track = await delivered(desk)
    ours = desk.remote(track)
    foreign_put(desk, track, title="foreign")
    await looked_at(desk)
    track = desk.edit(album="waited")
    assert await desk.relay_once() == {}
    foreign_put(desk, track, **(ours or {}))
    assert await looked_at(desk) == {Outcome.DELIVERED: 1}
    assert desk.remote(track) == record_for(track, desk.mirror().generation, URLS)


async def test_a_held_record_that_is_then_deleted_elsewhere_is_detached(desk: Rig) -> None:
    track = await delivered(desk)
    foreign_put(desk, track, title="foreign")
    await looked_at(desk)
    foreign_delete(desk, track)
    assert await looked_at(desk) == {Outcome.MISSING: 1}
    assert desk.mirror().state == "detached"


async def test_a_detached_record_stays_detached_whatever_comes(desk: Rig) -> None:
    track = await delivered(desk)
    ours = desk.remote(track)
    foreign_delete(desk, track)
    await looked_at(desk)
    foreign_put(desk, track, **{**(ours or {}), "title": "foreign"})
    assert await looked_at(desk) == {Outcome.SEEN: 1}
    assert (desk.mirror().state, sent(desk)) == ("detached", ["putRecord"])  # which asked whether it is gone
    assert events(desk) == ["Created", "RecordMissing"]


async def test_a_look_at_a_rejected_record_sends_nothing_and_keeps_what_others_added(desk: Rig) -> None:
    track = await delivered(desk)
    desk.wire.faults += [answered(400, "InvalidRecord")]
    desk.edit(title="refused")
    await desk.relay_once()
    desk.wire.sent.clear()
    foreign_put(desk, track, x=1)
    assert await looked_at(desk) == {Outcome.REBASED: 1}
    assert (desk.mirror().state, sent(desk)) == ("rejected", [])
    track = desk.edit(title="mended")
    await desk.relay_once()
    assert desk.remote(track) == {**record_for(track, desk.mirror().generation, URLS), "x": 1}
    assert sent(desk) == ["putRecord"]


async def test_a_look_at_a_rejected_record_finds_what_was_done_elsewhere(desk: Rig) -> None:
    track = await delivered(desk)
    desk.wire.faults += [answered(400, "InvalidRecord")]
    desk.edit(title="refused")
    await desk.relay_once()
    foreign_put(desk, track, title="foreign")
    assert await looked_at(desk) == {Outcome.HELD: 1}
    foreign_delete(desk, track)
    assert await looked_at(desk) == {Outcome.MISSING: 1}
    assert desk.mirror().state == "detached"


async def test_a_create_that_comes_after_its_delete_is_put_right(desk: Rig) -> None:
    track = await delivered(desk)
    created = desk.remote(track)
    desk.tell(1, lambda track: track.delete(at=desk.clock()))
    await desk.relay_once()
    desk.pds.put_record(desk.did, COLLECTION, track.rkey, created or {})
    assert await looked_at(desk) == {Outcome.DELIVERED: 1}
    assert (desk.remote(track), desk.mirror().state) == (None, "delivered")


async def test_what_others_put_in_place_of_a_deleted_record_is_theirs(desk: Rig) -> None:
    track = await delivered(desk)
    desk.tell(1, lambda track: track.delete(at=desk.clock()))
    await desk.relay_once()
    desk.pds.put_record(desk.did, COLLECTION, track.rkey, {"$type": COLLECTION, "title": "theirs"})
    assert await looked_at(desk) == {Outcome.SEEN: 1}
    assert desk.remote(track) == {"$type": COLLECTION, "title": "theirs"}


async def test_a_doubt_about_a_record_that_is_still_to_be_sent_changes_nothing(desk: Rig) -> None:
    await delivered(desk)
    desk.edit(title="waits")
    before = target(desk)
    doubt(desk)
    assert target(desk) == before


async def test_doubts_are_one_look_however_many_there_are(desk: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    track = await delivered(desk)
    keys = reads(desk, monkeypatch)
    for _ in range(3):
        doubt(desk)
        with desk.database.write() as connection:
            suspect_key(connection, RecordKey(desk.did, COLLECTION, track.rkey), desk.clock())
            suspect_key(connection, RecordKey(desk.did, COLLECTION, "unknown"), desk.clock())
    await desk.relay_once()
    assert keys == [track.rkey]


async def test_a_doubt_that_comes_up_during_a_look_is_a_look_of_its_own(desk: Rig) -> None:
    track = await delivered(desk)
    doubt(desk)
    lane = desk.claim("looks")
    work = next_work(desk.log, lane, URLS, desk.clock(), [])
    assert work is not None
    result = await desk.delivery.deliver(lane, work, 30)
    foreign_put(desk, track, title="foreign")
    doubt(desk)
    settle(desk.log, lane, result)
    release(desk.database, lane)
    assert await desk.relay_once() == {Outcome.HELD: 1}


async def test_a_doubt_that_comes_up_after_a_write_had_landed_is_not_lost_with_its_settling(
    desk: Rig,
) -> None:
    track = desk.upload()
    lane = desk.claim("writes")
    work = next_work(desk.log, lane, URLS, desk.clock(), [])
    assert work is not None
    result = await desk.delivery.deliver(lane, work, 30)
    foreign_put(desk, track, title="foreign")
    doubt(desk)
    settle(desk.log, lane, result)
    release(desk.database, lane)
    assert await desk.relay_once() == {Outcome.HELD: 1}


async def test_doubts_about_many_accounts_wake_each_of_them(desk: Rig) -> None:
    other = "did:plc:other"
    desk.sign_in(other)
    await delivered(desk, 1)
    desk.upload(2, did=other)
    await desk.relay_once()
    assert await looked_at(desk, 1, 2) == {Outcome.SEEN: 2}


async def test_a_look_leaves_nothing_in_the_journal_unless_it_writes(desk: Rig) -> None:
    await delivered(desk)
    await looked_at(desk)
    with desk.database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(delivery_attempt)) == 1
