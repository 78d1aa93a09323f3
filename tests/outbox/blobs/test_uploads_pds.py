"""Audio on a real PDS: it stays while a record names it, and is uploaded again when it was dropped."""

import pytest

from aggregates.values import SupportGate
from tests.dsl import COLLECTION
from tests.outbox.rigs.foreign_writes import delivered
from tests.outbox.rigs.relay_rig import Rig

pytestmark = [pytest.mark.anyio, pytest.mark.pds]


async def test_migrated_audio_stays_on_the_pds_through_edits(rig: Rig) -> None:
    track = await delivered(rig)
    rig.command(1, lambda track: track.request_blob_migration(at=rig.clock()))
    await rig.relay_once()
    assert rig.remote(track)["audioBlob"]["ref"]["$link"] == track.audio.cid

    rig.edit(title="another")
    await rig.relay_once()

    assert rig.remote(track)["audioBlob"]["ref"]["$link"] == track.audio.cid
    assert rig.pds.get_blob(rig.did, track.audio.cid) == rig.bytes.held[track.audio.cid]


async def test_a_blob_that_the_pds_dropped_is_uploaded_again_before_its_record(rig: Rig) -> None:
    track = rig.upload()
    rig.command(1, lambda track: track.request_blob_migration(at=rig.clock()))
    await rig.relay_once()
    rig.pds.delete_record(rig.did, COLLECTION, track.rkey)
    assert rig.pds.get_blob(rig.did, track.audio.cid) is None

    rig.command(1, lambda track: track.restore_record(at=rig.clock()))
    await rig.relay_once()

    assert rig.remote(track)["audioBlob"]["ref"]["$link"] == track.audio.cid
    assert rig.pds.get_blob(rig.did, track.audio.cid) == rig.bytes.held[track.audio.cid]


async def test_a_gate_takes_the_blob_out_of_the_record_and_ungating_brings_it_back(rig: Rig) -> None:
    track = rig.upload()
    rig.command(1, lambda track: track.request_blob_migration(at=rig.clock()))
    await rig.relay_once()
    rig.command(1, lambda track: track.set_support_gate(SupportGate("any"), at=rig.clock()))
    await rig.relay_once()
    gated = rig.remote(track)
    assert "audioBlob" not in gated
    assert gated["supportGate"] == {"type": "any"}
    assert rig.pds.get_blob(rig.did, track.audio.cid) is None

    rig.command(1, lambda track: track.set_support_gate(None, at=rig.clock()))
    await rig.relay_once()

    opened = rig.remote(track)
    assert "supportGate" not in opened
    assert opened["audioBlob"]["ref"]["$link"] == track.audio.cid
