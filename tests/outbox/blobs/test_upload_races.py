"""Uploads in flight while their track changes or their lease is lost."""

from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest

from aggregates.values import SupportGate
from eventstore.errors import LeaseLostError
from eventstore.jobs import queue
from outbox.blobs.jobs import postpone, settle_job
from outbox.pds.verdict import Kind, Verdict
from tests.outbox.rigs.foreign_writes import delivered, events
from tests.outbox.rigs.relay_rig import ARTIST, Rig
from tests.outbox.rigs.stepwise_delivery import Send, delete
from tests.outbox.rigs.uploads import blob_cid, claim_uploads, request_blob

pytestmark = pytest.mark.anyio


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
        one.command(1, lambda track: track.replace_audio(new, at=one.clock()))
        request_blob(one)

    during_upload(one, replace)
    await one.relay_once()
    assert (blob_cid(one, track), one.mirror().state) == (new.cid, "delivered")
    assert one.pds.get_blob(one.did, new.cid) == one.bytes.held[new.cid]


async def test_an_upload_whose_lease_was_lost_is_settled_by_the_next_holder_alone(one: Rig) -> None:
    track = await delivered(one)
    request_blob(one)

    def somebody_else_takes_the_job() -> None:
        one.clock.advance(hours=1)
        assert claim_uploads(one.database, "second")

    during_upload(one, somebody_else_takes_the_job)
    await one.relay_once()
    assert "BlobMigrated" not in events(one)
    assert blob_cid(one, track) is None
    one.clock.advance(minutes=2)  # and the second one dies
    await one.relay_once()
    assert events(one).count("BlobMigrated") == 1
    assert (blob_cid(one, track), one.mirror().state) == (track.audio.cid, "delivered")


@pytest.mark.parametrize("next_owner", ["second", "first"])
async def test_a_worker_that_lost_a_job_to_a_later_claim_neither_extends_nor_settles_it(
    one: Rig, next_owner: str
) -> None:
    """To another process, or to its own next claim."""
    await delivered(one)
    request_blob(one)
    [lost] = claim_uploads(one.database, "first")
    one.clock.advance(hours=1)
    [claimed] = claim_uploads(one.database, next_owner)
    with pytest.raises(LeaseLostError):
        postpone(one.database, lost, "late")
    with pytest.raises(LeaseLostError):
        one.log.transact(one.did, ARTIST, lambda unit: settle_job(unit, lost, Verdict(Kind.BROKEN)))
    assert not queue.extend(one.database, lost.job, timedelta(minutes=1))
    assert queue.extend(one.database, claimed.job, timedelta(minutes=1))
