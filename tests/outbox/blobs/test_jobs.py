"""Upload jobs are claimed, fenced and released, and never delay deliveries."""

import logging
from collections.abc import Callable
from datetime import timedelta
from unittest.mock import Mock

import httpx
import pytest
from sqlalchemy import update

from aggregates.values import SupportGate
from eventstore.errors import LeaseLostError
from eventstore.jobs import queue
from outbox.blobs.jobs import settle_job
from outbox.mirror.parking import request_probe
from outbox.mirror.tables import blob_job, mirror_target
from outbox.pds.verdict import Kind, Verdict
from tests.outbox.rigs.account_status import move, sign_in_at
from tests.outbox.rigs.foreign_writes import delivered, sent
from tests.outbox.rigs.relay_rig import ARTIST, Rig
from tests.outbox.rigs.rows import lane_row
from tests.outbox.rigs.stepwise_delivery import Send, delete
from tests.outbox.rigs.uploads import (
    blob_cid,
    claim_uploads,
    job,
    migrated,
    replace_audio,
    request_blob,
    requested,
    track_of,
    uploaded_track,
)
from tests.outbox.rigs.wire import answered, meanwhile
from tests.servers.databases import ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_SQLITE]


async def test_a_dead_login_in_an_upload_parks_the_lane_and_keeps_the_job(desk: Rig) -> None:
    track = await uploaded_track(desk)
    desk.wire.faults += [answered(401, "AuthMissing")]
    request_blob(desk)
    await desk.relay_once()
    assert (desk.mirror().state, desk.mirror().reason) == ("parked", "auth_required")
    assert await desk.relay_once() == {}
    desk.sign_in()
    await desk.relay_once()
    assert blob_cid(desk, track) == track.audio.cid


async def test_an_upload_that_finds_its_account_full_waits_until_its_owner_retries(desk: Rig) -> None:
    track = await uploaded_track(desk)
    desk.wire.faults += [answered(413, "BlobQuotaExceeded")]
    request_blob(desk)
    await desk.relay_once()
    assert (desk.mirror().state, desk.mirror().reason) == ("parked", "account_full")
    assert await desk.relay_once() == {}
    desk.retry()
    await desk.relay_once()
    await desk.relay_once()
    assert blob_cid(desk, track) == track.audio.cid


async def test_an_upload_with_a_login_that_was_renewed_meanwhile_parks_nothing(desk: Rig) -> None:
    track = await uploaded_track(desk)
    desk.wire.faults += [meanwhile(desk.sign_in, answered(401, "AuthMissing"))]
    request_blob(desk)
    await desk.relay_once()
    assert blob_cid(desk, track) == track.audio.cid


async def test_what_was_uploaded_to_a_host_that_the_account_has_left_is_not_named_at_the_new_one(
    desk: Rig,
) -> None:
    track = await requested(desk)
    new = move(desk)
    during_upload(desk, lambda: sign_in_at(desk, new))
    await desk.relay_once()
    assert blob_cid(desk, track) == track.audio.cid
    assert sent(desk)[1:] == ["uploadBlob", "uploadBlob", "putRecord"]
    assert new.get_blob(desk.did, track.audio.cid)


@pytest.mark.parametrize("found_by", ["sign-in", "probe"])
async def test_an_account_that_signs_in_at_another_host_does_not_wait_for_an_upload_to_the_old_one(
    desk: Rig, found_by: str
) -> None:
    await requested(desk)
    [late] = claim_uploads(desk.database, "late")
    new = move(desk)
    if found_by == "probe":
        with desk.database.write() as connection:
            request_probe(connection, desk.did, desk.clock())
        desk.relay.jobs.parts.make_due()
        await desk.relay.jobs.start_due()
        await desk.relay.jobs.drain()
        assert lane_row(desk.database, desk.did).host == new.url
    sign_in_at(desk, new)
    [claimed] = claim_uploads(desk.database, "soon")
    assert claimed.host == new.url
    assert not queue.extend(desk.database, late.job, timedelta(hours=1))


async def test_an_upload_that_cannot_be_settled_is_repeated_with_growing_pauses(
    desk: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    track = await requested(desk)

    with monkeypatch.context() as patched, caplog.at_level(logging.CRITICAL):
        patched.setattr(desk.log, "transact", Mock(side_effect=OSError("the disk is full")))
        for _ in range(60):
            await desk.relay_once()
            desk.clock.advance(minutes=1)
    assert 1 < [name for name, _ in desk.wire.sent].count("uploadBlob") < 20
    desk.clock.advance(hours=1)
    await desk.relay_once()
    assert blob_cid(desk, track) == track.audio.cid


async def test_a_retry_tries_a_waiting_upload_at_once(desk: Rig) -> None:
    track = await uploaded_track(desk)
    desk.wire.faults += [answered(503, "Busy")]
    request_blob(desk)
    await desk.relay_once()
    assert blob_cid(desk, track) is None
    desk.retry()
    await desk.relay_once()
    assert blob_cid(desk, track) == track.audio.cid


async def test_a_request_that_returns_during_an_unneeded_upload_is_not_dropped(desk: Rig) -> None:
    await migrated(desk)
    with desk.database.write() as connection:
        connection.execute(update(blob_job).values(again=True))
        connection.execute(update(mirror_target).values(state="blob"))
    [claimed] = claim_uploads(desk.database)
    desk.log.transact(desk.did, ARTIST, lambda unit: settle_job(unit, claimed, None))
    assert job(desk).again is True


def during_upload(rig: Rig, act: Callable[[], object]) -> None:
    """Act after the PDS has stored the bytes and before its answer arrives."""

    async def fault(send: Send) -> httpx.Response:
        reply = await send()
        act()
        return reply

    rig.wire.faults += [fault]


async def test_an_upload_to_a_track_that_is_gated_meanwhile_is_named_by_no_record(one: Rig) -> None:
    track = await delivered(one)
    request_blob(one)
    gate = SupportGate("any")
    during_upload(one, lambda: one.command(1, lambda t: t.set_support_gate(gate, at=one.clock())))
    await one.relay_once()
    assert (blob_cid(one, track), one.mirror().state) == (None, "delivered")
    assert one.pds.get_blob(one.did, track.audio.cid) is None
    assert "BlobMigrated" not in one.types()


async def test_an_upload_to_a_track_that_is_deleted_meanwhile_is_named_by_no_record(desk: Rig) -> None:
    track = await delivered(desk)
    request_blob(desk)
    during_upload(desk, lambda: delete(desk))
    await desk.relay_once()
    assert (desk.remote(track), desk.mirror().state) == (None, "delivered")
    assert "BlobMigrated" not in desk.types()


async def test_an_upload_of_audio_that_is_replaced_meanwhile_is_made_again_with_the_new_audio(
    desk: Rig,
) -> None:
    track = await delivered(desk)
    request_blob(desk)

    def replace() -> None:
        replace_audio(desk)
        request_blob(desk)

    during_upload(desk, replace)
    await desk.relay_once()
    new = track_of(desk).audio.cid
    assert (blob_cid(desk, track), desk.mirror().state) == (new, "delivered")
    assert desk.pds.get_blob(desk.did, new) == desk.bytes.held[new]


async def test_an_upload_whose_lease_was_lost_is_settled_by_the_next_holder_alone(desk: Rig) -> None:
    track = await delivered(desk)
    request_blob(desk)

    def somebody_else_takes_the_job() -> None:
        desk.clock.advance(hours=1)
        assert claim_uploads(desk.database, "second")

    during_upload(desk, somebody_else_takes_the_job)
    await desk.relay_once()
    assert "BlobMigrated" not in desk.types()
    assert blob_cid(desk, track) is None
    desk.clock.advance(minutes=2)  # and the second one dies
    await desk.relay_once()
    assert desk.types().count("BlobMigrated") == 1
    assert (blob_cid(desk, track), desk.mirror().state) == (track.audio.cid, "delivered")


@pytest.mark.parametrize("next_owner", ["second", "first"])
async def test_a_worker_that_lost_a_job_to_a_later_claim_neither_extends_nor_settles_it(
    desk: Rig, next_owner: str
) -> None:
    """To another process, or to its own next claim."""
    await delivered(desk)
    request_blob(desk)
    [lost] = claim_uploads(desk.database, "first")
    desk.clock.advance(hours=1)
    [claimed] = claim_uploads(desk.database, next_owner)
    with pytest.raises(LeaseLostError):
        desk.log.transact(desk.did, ARTIST, lambda unit: settle_job(unit, lost, Verdict(Kind.BROKEN)))
    assert not queue.extend(desk.database, lost.job, timedelta(minutes=1))
    assert queue.extend(desk.database, claimed.job, timedelta(minutes=1))
