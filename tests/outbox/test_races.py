"""Two things at once about one record, each stopped where it hurts most."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from aggregates.track import Track
from aggregates.values import SupportGate
from outbox import work as work_module
from outbox.blob_jobs import claim_jobs
from outbox.delivery import Outcome, Result
from outbox.lanes import Lane, LeaseLostError, release
from outbox.record import GENERATION, record_for
from outbox.settle import settle
from outbox.wishes import suspect
from outbox.work import next_work
from tests.dsl import COLLECTION
from tests.outbox.rig import URLS, Rig, answered, memory_rig_on, rig_on

pytestmark = pytest.mark.anyio

Send = Callable[[], Awaitable[httpx.Response]]


@pytest.fixture(params=["memory", pytest.param("real", marks=pytest.mark.pds)])
async def one(request: pytest.FixtureRequest, migrated_url: str) -> AsyncIterator[Rig]:
    """A relay with a PDS in memory, and with a real one."""
    if request.param == "memory":
        rig = memory_rig_on(migrated_url)
    else:
        rig = rig_on(migrated_url, request.getfixturevalue("pds"), request.getfixturevalue("pds_account"))
    async with rig as made:
        yield made


class Flight:
    """A relay's turn with one record, step by step."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self.lane: Lane = rig.claim("in flight")
        self.result: Result | None = None

    async def lands(self) -> Outcome:
        """Read, send and hear the answer; nothing is settled yet."""
        work = next_work(self._rig.log, self.lane, URLS, self._rig.clock(), [])
        assert work is not None
        self.result = await self._rig.delivery.deliver(self.lane, work, 30)
        return self.result.outcome

    def settles(self) -> None:
        """Write down what was found, and give the lane back."""
        assert self.result is not None
        settle(self._rig.log, self.lane, self.result)
        release(self._rig.database, self.lane)


def doubt(rig: Rig) -> None:
    """A scan believes that the PDS holds something else."""
    with rig.database.write() as connection:
        suspect(connection, [1], rig.database.now(connection))


def events(rig: Rig) -> list[str]:
    with rig.database.read() as connection:
        return [type(each.event).__name__ for each in rig.log.stream(connection, Track.create_id(1))]


def wanted(rig: Rig, track: Track) -> dict[str, Any]:
    return record_for(track, rig.mirror(track.track_id).generation, URLS)


async def delivered(rig: Rig) -> Track:
    track = rig.upload()
    await rig.relay_once()
    return track


def foreign_put(rig: Rig, track: Track, **fields: Any) -> None:
    rig.pds.put_record(rig.did, COLLECTION, track.rkey, {**(rig.remote(track) or {}), **fields})


def restore(rig: Rig) -> Track:
    return rig.tell(1, lambda track: track.restore_record(at=rig.clock()))


def delete(rig: Rig) -> Track:
    return rig.tell(1, lambda track: track.delete(at=rig.clock()))


def undelete(rig: Rig) -> Track:
    return rig.tell(1, lambda track: track.undelete(at=rig.clock()))


# Observation against restore-record.


async def test_a_delete_seen_elsewhere_is_dropped_when_its_owner_restored_the_record_meanwhile(
    one: Rig,
) -> None:
    track = await delivered(one)
    one.pds.delete_record(one.did, COLLECTION, track.rkey)
    doubt(one)
    flight = Flight(one)
    assert await flight.lands() is Outcome.MISSING
    track = restore(one)
    flight.settles()
    assert "RecordMissing" not in events(one)
    await one.relay_once()
    assert (one.remote(track), one.mirror().state) == (wanted(one, track), "delivered")


async def test_a_delete_met_by_a_write_is_dropped_when_its_owner_restored_the_record_meanwhile(
    desk: Rig,
) -> None:
    track = await delivered(desk)
    desk.pds.delete_record(desk.did, COLLECTION, track.rkey)
    desk.edit(title="edited")
    flight = Flight(desk)
    assert await flight.lands() is Outcome.MISSING
    track = restore(desk)
    flight.settles()
    await desk.relay_once()
    assert "RecordMissing" not in events(desk)
    assert (desk.remote(track), desk.mirror().state) == (wanted(desk, track), "delivered")


async def test_a_foreign_edit_seen_before_its_owner_spoke_is_seen_again_and_held_once(desk: Rig) -> None:
    track = await delivered(desk)
    foreign_put(desk, track, title="foreign")
    doubt(desk)
    flight = Flight(desk)
    assert await flight.lands() is Outcome.HELD
    desk.edit(album="meanwhile")
    flight.settles()
    assert "ForeignEditObserved" not in events(desk)
    assert await desk.relay_once() == {Outcome.HELD: 1}
    assert events(desk).count("ForeignEditObserved") == 1


# Scan against first put.


@pytest.mark.parametrize("moment", ["before", "on its way", "landed", "settled"])
async def test_a_scan_during_the_first_put_finds_nothing_foreign(one: Rig, moment: str) -> None:
    track = one.upload()
    if moment == "before":
        doubt(one)
    if moment == "on its way":

        async def doubted(send: Send) -> httpx.Response:
            doubt(one)
            return await send()

        one.wire.faults += [doubted]
    flight = Flight(one)
    assert await flight.lands() is Outcome.DELIVERED
    if moment == "landed":
        doubt(one)
    flight.settles()
    if moment == "settled":
        doubt(one)
    await one.relay_once()
    assert events(one) == ["Created"]
    assert (one.remote(track), one.mirror().state) == (wanted(one, track), "delivered")


# Undelete against a hanging delete.


@contextmanager
def without_generations() -> Iterator[None]:
    """Records as they would be without mastertapeGen: the same content has the same CID."""

    def record(track: Track, generation: int, urls: Any) -> dict[str, Any]:
        body = record_for(track, generation, urls)
        del body[GENERATION]
        return body

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(work_module, "record_for", record)
        yield


async def _undelete_while_a_delete_hangs(rig: Rig) -> tuple[Track, int]:
    """Give the track, and what the PDS says to the delete that comes when everybody believes it lost."""
    await delivered(rig)
    late: list[Send] = []

    async def hangs(send: Send) -> httpx.Response:
        late.append(send)
        raise httpx.ReadTimeout("no answer")

    rig.wire.faults += [hangs]
    delete(rig)
    await rig.relay_once()
    track = undelete(rig)
    rig.clock.advance(minutes=10)
    await rig.relay_once()
    assert rig.mirror().state == "delivered"
    return track, (await late[0]()).status_code


async def test_a_hanging_delete_does_not_remove_what_was_undeleted_since_its_generation_is_another(
    one: Rig,
) -> None:
    track, status = await _undelete_while_a_delete_hangs(one)
    assert (status, one.remote(track)) == (400, wanted(one, track))


async def test_without_generations_a_hanging_delete_removes_what_was_undeleted(one: Rig) -> None:
    with without_generations():
        track, status = await _undelete_while_a_delete_hangs(one)
    assert (status, one.remote(track)) == (200, None)  # which is why a record carries one


# Wake against settle.


async def test_an_edit_between_the_reading_and_the_settling_of_an_earlier_one_stays_to_be_sent(
    desk: Rig,
) -> None:
    await delivered(desk)
    desk.edit(title="one")
    flight = Flight(desk)
    await flight.lands()
    track = desk.edit(title="two")
    flight.settles()
    assert desk.mirror().state == "pending"
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}
    assert desk.remote(track) == wanted(desk, track)


async def test_an_edit_between_settling_and_giving_the_lane_back_is_due_at_once(desk: Rig) -> None:
    await delivered(desk)
    desk.edit(title="one")
    flight = Flight(desk)
    await flight.lands()
    assert flight.result is not None
    settle(desk.log, flight.lane, flight.result)
    track = desk.edit(title="two")
    release(desk.database, flight.lane)
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}
    assert desk.remote(track) == wanted(desk, track)


# Wake inside a 429 window.


async def test_neither_an_edit_nor_a_wish_nor_a_doubt_sends_anything_inside_a_429_window(desk: Rig) -> None:
    track = await delivered(desk)

    async def limited(send: Send) -> httpx.Response:  # noqa: ARG001
        return httpx.Response(429, json={"error": "RateLimitExceeded"}, headers={"retry-after": "120"})

    desk.wire.faults += [limited]
    desk.edit(title="one")
    await desk.relay_once()
    desk.wire.sent.clear()
    desk.clock.advance(seconds=60)
    track = desk.edit(title="two")
    desk.retry()
    doubt(desk)
    assert (await desk.relay_once(), desk.wire.sent) == ({}, [])
    desk.clock.advance(seconds=61)
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}
    assert desk.remote(track) == wanted(desk, track)


# Blob upload against gate, replace and delete.


def request_blob(rig: Rig) -> Track:
    return rig.tell(1, lambda track: track.request_blob_migration(at=rig.clock()))


def blob_cid(rig: Rig, track: Track) -> str | None:
    blob = (rig.remote(track) or {}).get("audioBlob")
    return blob["ref"]["$link"] if blob is not None else None


def during_upload(rig: Rig, act: Callable[[], object]) -> None:
    """Do this when the PDS has the bytes and nobody knows."""

    async def fault(send: Send) -> httpx.Response:
        reply = await send()
        act()
        return reply

    rig.wire.faults += [fault]


async def test_an_upload_to_a_track_that_is_gated_meanwhile_is_named_by_no_record(one: Rig) -> None:
    track = await delivered(one)
    request_blob(one)
    gate = SupportGate("any")
    during_upload(one, lambda: one.tell(1, lambda t: t.set_support_gate(gate, at=one.clock())))
    await one.relay_once()
    assert (blob_cid(one, track), one.mirror().state) == (None, "delivered")
    assert one.pds.get_blob(one.did, track.audio.cid) is None
    assert "BlobMigrated" not in events(one)


async def test_an_upload_to_a_track_that_is_deleted_meanwhile_is_named_by_no_record(one: Rig) -> None:
    track = await delivered(one)
    request_blob(one)
    during_upload(one, lambda: delete(one))
    await one.relay_once()
    assert (one.remote(track), one.mirror().state) == (None, "delivered")
    assert "BlobMigrated" not in events(one)


async def test_an_upload_of_audio_that_is_replaced_meanwhile_is_made_again_with_the_new_audio(
    one: Rig,
) -> None:
    track = await delivered(one)
    request_blob(one)
    new = one.bytes.keep(b"new audio" * 400)

    def replace() -> None:
        one.tell(1, lambda track: track.replace_audio(new, at=one.clock()))
        request_blob(one)

    during_upload(one, replace)
    await one.relay_once()
    assert (blob_cid(one, track), one.mirror().state) == (new.cid, "delivered")
    assert one.pds.get_blob(one.did, new.cid) == one.bytes.held[new.cid]


# Lease lost after upload.


async def test_an_upload_whose_lease_was_lost_is_noted_by_the_next_holder_alone(one: Rig) -> None:
    track = await delivered(one)
    request_blob(one)

    def somebody_else_takes_the_job() -> None:
        one.clock.advance(hours=1)
        assert claim_jobs(one.database, owner="second", limit=1, of_a_host=1, busy={})

    during_upload(one, somebody_else_takes_the_job)
    await one.relay_once()
    assert "BlobMigrated" not in events(one)
    assert blob_cid(one, track) is None
    one.clock.advance(minutes=2)  # and the second one dies
    await one.relay_once()
    assert events(one).count("BlobMigrated") == 1
    assert (blob_cid(one, track), one.mirror().state) == (track.audio.cid, "delivered")


async def test_a_write_whose_lease_was_lost_is_known_as_ours_by_the_next_holder(one: Rig) -> None:
    await delivered(one)
    one.edit(title="one")
    flight = Flight(one)
    await flight.lands()
    one.clock.advance(minutes=2)
    track = one.edit(title="two")
    assert await one.relay_once() == {Outcome.DELIVERED: 1}
    with pytest.raises(LeaseLostError):
        flight.settles()
    assert (one.remote(track), one.mirror().state) == (wanted(one, track), "delivered")
    assert "ForeignEditObserved" not in events(one)


async def test_what_a_lost_flight_saw_elsewhere_is_noted_once_by_the_next_holder(desk: Rig) -> None:
    track = await delivered(desk)
    foreign_put(desk, track, title="foreign")
    doubt(desk)
    flight = Flight(desk)
    assert await flight.lands() is Outcome.HELD
    desk.clock.advance(minutes=2)
    assert await desk.relay_once() == {Outcome.HELD: 1}
    with pytest.raises(LeaseLostError):
        flight.settles()
    assert events(desk).count("ForeignEditObserved") == 1


async def test_a_rejected_answer_that_comes_after_a_newer_edit_stops_only_the_earlier_one(desk: Rig) -> None:
    await delivered(desk)
    desk.wire.faults += [answered(400, "InvalidRecord")]
    desk.edit(title="bad")
    flight = Flight(desk)
    await flight.lands()
    track = desk.edit(title="good")
    flight.settles()
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}
    assert desk.remote(track) == wanted(desk, track)
