"""Uploads of audio to the PDS, whatever happens to the track meanwhile."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import httpx
import pytest

from aggregates.values import SupportGate
from outbox.blobs import worker as blobs
from outbox.blobs.jobs import MAX_BLOB_BYTES
from tests.dsl import COLLECTION
from tests.fake_pds.signed_in_pds import SignedInPds
from tests.media_samples import samples
from tests.outbox.rigs.foreign_writes import delivered
from tests.outbox.rigs.relay_rig import Rig
from tests.outbox.rigs.stepwise_delivery import StepwiseDelivery
from tests.outbox.rigs.uploads import (
    blob_cid,
    job,
    migrated,
    replace_audio,
    request_blob,
    requested,
    track_of,
    uploaded_track,
)
from tests.outbox.rigs.wire import answered, meanwhile, page
from tests.servers.databases import ON_SQLITE

if TYPE_CHECKING:
    from datetime import datetime

pytestmark = [pytest.mark.anyio, ON_SQLITE]
OTHER_CID = "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq"


async def test_a_rejection_of_the_earlier_audio_does_not_end_the_upload_of_the_new_one(
    desk: Rig,
) -> None:
    track = await requested(desk)

    def replace_it() -> None:
        replace_audio(desk)
        request_blob(desk)

    desk.wire.faults += [meanwhile(replace_it, answered(413, "PayloadTooLarge"))]
    await desk.relay_once()
    assert track_of(desk).blob_failure is None
    assert blob_cid(desk, track) == track_of(desk).audio.cid != track.audio.cid


@pytest.mark.parametrize(
    "odd",
    [
        {"mimeType": "audio/\0"},
        {"mimeType": "audio/half-\ud83c"},
        {"mimeType": "audio/" + "x" * 5000},
        {"ref": {"$link": "x"}, "size": 0},
    ],
    ids=["NUL", "half a character", "a type without end", "another blob"],
)
async def test_a_reference_that_is_none_of_the_audio_is_not_taken(desk: Rig, odd: dict[str, Any]) -> None:
    track = await uploaded_track(desk)
    blob = {
        "$type": "blob",
        "ref": {"$link": track.audio.cid},
        "mimeType": "audio/mpeg",
        "size": track.audio.size,
    }
    desk.wire.faults += [page(200, content=json.dumps({"blob": {**blob, **odd}}))]
    request_blob(desk)
    await desk.relay_once()
    assert "blob_mismatch" in (desk.mirror().blob_error or "")
    assert track_of(desk).blob is None
    desk.clock.advance(minutes=10)
    await desk.relay_once()
    assert blob_cid(desk, track) == track.audio.cid


async def test_only_what_a_blob_reference_is_is_kept_of_what_the_pds_returns(desk: Rig) -> None:
    track = await requested(desk)

    async def adding(send: Any) -> httpx.Response:
        return httpx.Response(200, json={"blob": {**(await send()).json()["blob"], "junk": "x" * 5000}})

    desk.wire.faults += [adding]
    await desk.relay_once()
    assert blob_cid(desk, track) == track.audio.cid
    assert set(track_of(desk).blob.ref) == {"$type", "ref", "mimeType", "size"}


async def test_an_upload_that_a_pds_stores_wrongly_each_time_backs_off(desk: Rig) -> None:
    await requested(desk)
    empty = {"$type": "blob", "ref": {"$link": "x"}, "mimeType": "audio/mpeg", "size": 0}
    desk.wire.faults += [page(200, json={"blob": empty})] * 1000
    for _ in range(12 * 3):
        await desk.relay_once()
        desk.clock.advance(minutes=20)
    assert [name for name, _ in desk.wire.sent].count("uploadBlob") < 26


async def test_an_upload_that_stalls_frees_its_worker(desk: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    track = await requested(desk)

    async def swallow(send: Any) -> httpx.Response:  # noqa: ARG001
        await asyncio.Event().wait()
        raise AssertionError

    desk.wire.faults += [swallow]
    with monkeypatch.context() as patched:
        patched.setattr(blobs, "UPLOAD_TIMEOUT_SECONDS", 0.05)
        await desk.relay_once()
    assert "TimeoutError" in (desk.mirror().blob_error or "")
    desk.clock.advance(minutes=1)
    await desk.relay_once()
    assert blob_cid(desk, track) == track.audio.cid


async def test_audio_missing_in_storage_ends_the_upload_with_its_reason(desk: Rig) -> None:
    await uploaded_track(desk)
    desk.bytes.held.clear()
    request_blob(desk)
    await desk.relay_once()
    assert (track_of(desk).blob_failure, track_of(desk).blob_requested) == ("audio_missing", False)
    assert desk.mirror().state == "delivered"


async def test_a_storage_that_fails_for_a_moment_delays_the_upload_and_no_more(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = await requested(desk)

    with monkeypatch.context() as patched:
        patched.setattr(desk.bytes, "read", Mock(side_effect=ConnectionError))
        await desk.relay_once()
    assert "ConnectionError" in (desk.mirror().blob_error or "")
    desk.clock.advance(seconds=5)
    await desk.relay_once()
    assert blob_cid(desk, track) == track.audio.cid


@pytest.mark.parametrize("limit", [None, 100])
async def test_audio_over_the_limit_is_not_sent(desk: Rig, limit: int | None) -> None:
    desk.pds.blob_limit = limit  # type: ignore[union-attr]
    track = desk.upload(audio=desk.bytes.keep(b"x" * 200))
    if limit is None:
        large = replace(track.audio, cid=OTHER_CID, size=MAX_BLOB_BYTES + 1)
        desk.command(1, lambda track: track.replace_audio(large, at=desk.clock()))
    await desk.relay_once()
    request_blob(desk)
    desk.wire.sent.clear()
    await desk.relay_once()
    assert desk.wire.sent == []
    assert track_of(desk).blob_failure == "too_large"


async def test_a_pds_that_drops_every_blob_at_once_is_not_sent_it_again_and_again(desk: Rig) -> None:
    await migrated(desk)
    desk.pds.delete_record(desk.did, "fm.plyr.track", track_of(desk).rkey)
    assert isinstance(desk.pds, SignedInPds)
    blobs = desk.pds.repo(desk.did).blobs
    blobs.clear()
    desk.wire.sent.clear()
    keeping = desk.pds.answer

    def dropping(request: httpx.Request, content: bytes) -> httpx.Response:
        assert [name for name, _ in desk.wire.sent].count("uploadBlob") < 4
        answer = keeping(request, content)
        if request.url.path.endswith(".uploadBlob"):
            blobs.clear()
        return answer

    desk.pds.answer = dropping  # type: ignore[method-assign]
    desk.command(1, lambda track: track.restore_record(at=desk.clock()))
    for _ in range(5):
        await desk.relay_once()

    assert [name for name, _ in desk.wire.sent].count("uploadBlob") == 1
    assert (desk.mirror().state, desk.mirror().reason) == ("pending", "blob")
    desk.pds.answer = keeping  # type: ignore[method-assign]
    desk.clock.advance(minutes=10)
    await desk.relay_once()
    assert desk.mirror().state == "delivered"


@pytest.mark.parametrize("meanwhile", [False, True])
async def test_audio_that_replaces_a_lost_blob_is_uploaded_only_if_its_owner_requests_it(
    desk: Rig, meanwhile: bool
) -> None:
    """`meanwhile`: replaced while the put that names the lost blob is in flight."""
    track = await migrated(desk)
    desk.wire.faults += [answered(400, "BlobNotFound")]
    desk.edit(title="unsent")
    delivery = StepwiseDelivery(desk)
    await delivery.send()
    if not meanwhile:
        delivery.settle()
        assert job(desk).again
    new = replace_audio(desk)
    if meanwhile:
        delivery.settle()
    desk.wire.sent.clear()
    desk.clock.advance(hours=1)
    await desk.relay_once()
    assert [name for name, _ in desk.wire.sent] == ["putRecord"]
    assert (blob_cid(desk, track), track_of(desk).blob, desk.mirror().state) == (None, None, "delivered")

    request_blob(desk)
    await desk.relay_once()
    assert (blob_cid(desk, track), desk.mirror().state) == (new.cid, "delivered")


async def test_new_audio_does_not_wait_for_the_pause_of_the_audio_before(desk: Rig) -> None:
    track = await requested(desk)
    desk.wire.faults += [answered(500, "InternalServerError")]
    await desk.relay_once()
    assert job(desk).attempts == 1
    new = replace_audio(desk)
    request_blob(desk)
    await desk.relay_once()
    assert blob_cid(desk, track) == new.cid


@pytest.mark.parametrize("types", [["audio/mpeg"], ["audio/mpeg", "audio/mp3"]])
async def test_a_pds_that_takes_each_upload_and_never_finds_the_blob_is_sent_it_once_an_hour(
    desk: Rig, types: list[str]
) -> None:
    """`types`: what it calls the audio in turn, each time in another reference."""
    await requested(desk)
    assert isinstance(desk.pds, SignedInPds)
    as_it_is = desk.pds.answer
    uploads: list[datetime] = []

    def losing(request: httpx.Request, content: bytes) -> httpx.Response:
        if request.url.path.endswith(".uploadBlob"):
            uploads.append(desk.clock())
            blob = as_it_is(request, content).json()["blob"]
            return httpx.Response(200, json={"blob": {**blob, "mimeType": types[len(uploads) % len(types)]}})
        if b"audioBlob" in content:
            return httpx.Response(400, json={"error": "BlobNotFound", "message": ""})
        return as_it_is(request, content)

    desk.pds.answer = losing  # type: ignore[method-assign]
    for minutes in range(0, 12 * 60, 20):
        await desk.relay_once()
        desk.clock.advance(minutes=20)
        if minutes % 60 == 0:
            desk.edit(title=f"edited after {minutes} minutes")
    assert len(uploads) < 23
    assert (desk.mirror().state, desk.mirror().reason) == ("pending", "blob")

    desk.pds.answer = as_it_is  # type: ignore[method-assign]
    desk.clock.advance(hours=1)
    await desk.relay_once()
    assert (desk.mirror().state, job(desk).attempts) == ("delivered", 0)


async def test_a_record_waits_for_its_blob_until_a_change_makes_it_need_none(desk: Rig) -> None:
    track = await migrated(desk)
    desk.wire.faults += [answered(400, "BlobNotFound"), answered(503, "Busy")]
    desk.edit(title="waits")
    await desk.relay_once()
    assert (desk.mirror().state, desk.mirror().reason) == ("pending", "blob")

    desk.command(1, lambda track: track.set_support_gate(SupportGate("any"), at=desk.clock()))
    await desk.relay_once()

    assert desk.mirror().state == "pending"  # the job is claimed and finds that it is not needed
    desk.clock.advance(minutes=10)
    await desk.relay_once()
    assert desk.mirror().state == "delivered"
    assert (desk.remote(track) or {})["supportGate"] == {"type": "any"}


async def test_a_blob_that_can_never_be_uploaded_again_rejects_its_record_until_it_changes(desk: Rig) -> None:
    await migrated(desk)
    desk.wire.faults += [answered(400, "BlobNotFound")]
    held = dict(desk.bytes.held)
    desk.bytes.held.clear()
    desk.edit(title="waits")
    await desk.relay_once()
    assert (desk.mirror().state, desk.mirror().reason) == ("rejected", "audio_missing")

    desk.bytes.held.update(held)
    desk.edit(title="goes on")
    await desk.relay_once()
    assert desk.mirror().state == "delivered"


async def test_an_edit_reaches_a_pds_that_has_lost_the_audio_and_does_not_want_it_again(desk: Rig) -> None:
    track = await migrated(desk)
    desk.pds.blob_limit = 100  # type: ignore[union-attr]
    desk.wire.faults += [answered(400, "BlobNotFound")]

    desk.edit(title="for a smaller PDS")
    await desk.relay_once()

    assert desk.mirror().state == "delivered"
    assert (desk.remote(track) or {})["title"] == "for a smaller PDS"
    assert blob_cid(desk, track) is None
    assert (track_of(desk).blob, track_of(desk).blob_failure) == (None, "too_large")
    desk.edit(title="and once more")
    await desk.relay_once()
    assert (desk.remote(track) or {})["title"] == "and once more"


async def test_audio_that_the_pds_takes_for_something_else_is_named_by_no_record(one: Rig) -> None:
    track = await delivered(one, audio=one.bytes.keep(samples.png()))
    request_blob(one)
    await one.relay_once()
    assert (track_of(one).blob_failure, track_of(one).blob_requested) == ("blob_type", False)
    assert "image/png" in (one.mirror().blob_error or "")
    assert (one.mirror().state, blob_cid(one, track)) == ("delivered", None)


CONTAINERS = (
    ("tone.webm", None, "video/webm"),
    ("tone.m4a", b"M4A ", "audio/x-m4a"),
    ("tone.m4a", b"mp42", "video/mp4"),
    ("tone.m4a", b"dash", "video/mp4"),
    ("opus.ogg", None, "audio/ogg; codecs=opus"),
)
"""Samples, the brand that they name, and what a PDS calls them."""


@pytest.mark.pds
async def test_audio_that_a_pds_calls_video_for_its_container_is_named_as_it_says(rig: Rig) -> None:
    tracks = []
    for number, (name, brand, _) in enumerate(CONTAINERS, 1):
        data = (Path(samples.__file__).parent / name).read_bytes()
        data = data if brand is None else data[:8] + brand + data[12:]
        tracks.append(rig.upload(number, audio=rig.bytes.keep(data)))
        request_blob(rig, number)
    await rig.relay_once()
    assert {rig.mirror(track.track_id).state for track in tracks} == {"delivered"}
    assert [blob_cid(rig, track) for track in tracks] == [track.audio.cid for track in tracks]
    named = [rig.remote(track)["audioBlob"]["mimeType"] for track in tracks]
    assert named == [says for *_, says in CONTAINERS]


async def test_a_record_comes_back_to_a_pds_that_does_not_want_its_audio_again(one: Rig) -> None:
    track = await migrated(one)
    one.pds.delete_record(one.did, COLLECTION, track.rkey)

    said = []

    async def heard(send: Any) -> httpx.Response:
        reply: httpx.Response = await send()
        said.append(reply.json()["error"])
        return reply

    one.wire.faults += [heard, heard, answered(413, "PayloadTooLarge")]
    one.command(1, lambda track: track.restore_record(at=one.clock()))
    await one.relay_once()
    assert said == ["InvalidSwap", "BlobNotFound"]
    assert one.mirror().state == "delivered"
    assert one.remote(track) is not None
    assert blob_cid(one, track) is None


async def test_a_gate_takes_the_blob_out_of_the_record_and_ungating_brings_it_back(one: Rig) -> None:
    track = one.upload()
    request_blob(one)
    await one.relay_once()
    one.command(1, lambda track: track.set_support_gate(SupportGate("any"), at=one.clock()))
    await one.relay_once()
    gated = one.remote(track)
    assert "audioBlob" not in gated
    assert gated["supportGate"] == {"type": "any"}
    assert one.pds.get_blob(one.did, track.audio.cid) is None

    one.command(1, lambda track: track.set_support_gate(None, at=one.clock()))
    await one.relay_once()

    opened = one.remote(track)
    assert "supportGate" not in opened
    assert opened["audioBlob"]["ref"]["$link"] == track.audio.cid
