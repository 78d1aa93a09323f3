"""An adopted record is left as it is until its track changes."""

from typing import Any

import pytest
from sqlalchemy import delete, select

from aggregates.tracks.track import Track
from outbox.conflicts.conflicts import keep_newer, set_lane_host
from outbox.mirror.requeue import reverify
from outbox.mirror.tables import mirror_lane, mirror_target
from outbox.pds.client import RecordKey, Remote
from outbox.relay.result import Outcome, acknowledge_as_found
from projections.rebuild.rebuild import rebuild
from replay.adoption.record import read_record
from tests.dsl import COLLECTION
from tests.outbox.rigs.foreign_writes import delivered, sent, verified
from tests.outbox.rigs.relay_rig import ARTIST, KINDS, RECORDS, Rig, audio_of
from tests.outbox.rigs.stepwise_delivery import StepwiseDelivery
from tests.servers.databases import ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_SQLITE]

RKEY = "3n32ltnlh6222"
THEIRS: dict[str, Any] = {
    "$type": COLLECTION,
    "title": "Theirs",
    "artist": "The Artist",
    "audioUrl": "https://elsewhere.test/song.mp3",
    "imageUrl": "https://elsewhere.test/cover.png",
    "fileType": "mp3",
    "createdAt": "2019-05-04T12:00:07.5+02:00",
    "features": [
        {"did": "did:plc:carol", "handle": "carol.test", "displayName": "Carol", "x": 1},
        {"did": "did:plc:drummer"},
    ],
    "likes": 3,
}


def adopts(rig: Rig, **fields: Any) -> Track:
    """Take over a record that another service wrote."""
    rig.pds.put_record(rig.did, COLLECTION, RKEY, {**THEIRS, **fields})
    found = rig.pds.get_record(rig.did, COLLECTION, RKEY)
    assert found is not None
    key = RecordKey(rig.did, COLLECTION, RKEY)
    read = read_record(key, Remote(found["cid"], found["value"]), RECORDS)
    with rig.log.unit_of_work(rig.did, ARTIST) as unit:
        track = read.adopted(1, audio_of(b"sound"), unit.now, artwork=None, image_url=read.image_url)
        [change] = unit.save(track)
        acknowledge_as_found(unit.connection, key, change.position, (read.cid, found["value"]), unit.now)
        set_lane_host(unit.connection, rig.did, rig.pds.url)
    rig.wire.sent.clear()
    return track


def record(rig: Rig) -> dict[str, Any]:
    found = rig.pds.get_record(rig.did, COLLECTION, RKEY)
    return found["value"] if found is not None else {}


def elsewhere(rig: Rig, **fields: Any) -> None:
    rig.pds.put_record(rig.did, COLLECTION, RKEY, {**record(rig), **fields})


async def test_nothing_is_sent_before_the_first_change_which_keeps_what_is_not_ours(desk: Rig) -> None:
    adopts(desk)
    assert await desk.relay_once() == {}
    assert (record(desk), desk.mirror().state, sent(desk)) == (THEIRS, "delivered", [])
    desk.edit(title="Ours")
    await desk.relay_once()
    written = record(desk)
    kept = ("createdAt", "imageUrl", "features", "likes", "artist")
    assert {name: written[name] for name in kept} == {name: THEIRS[name] for name in kept}
    assert (written["title"], desk.statuses()) == ("Ours", ["none", "delivered"])


async def test_foreign_fields_added_to_an_adopted_record_are_observed_and_nothing_is_written(
    desk: Rig,
) -> None:
    adopts(desk)
    elsewhere(
        desk, likes=4, features=[{**THEIRS["features"][0], "displayName": "Caroline"}, THEIRS["features"][1]]
    )
    assert await verified(desk) == {Outcome.REBASED: 1}
    assert (sent(desk), record(desk)["likes"], desk.mirror().state) == ([], 4, "delivered")
    desk.edit(title="Ours")
    await desk.relay_once()
    assert (record(desk)["likes"], record(desk)["features"][0]["displayName"]) == (4, "Caroline")


async def test_an_adopted_record_that_is_back_is_detached_no_longer(desk: Rig) -> None:
    adopts(desk)
    desk.pds.delete_record(desk.did, COLLECTION, RKEY)
    await verified(desk)
    assert desk.mirror().state == "detached"
    elsewhere(desk, **THEIRS)
    desk.wire.sent.clear()
    await verified(desk)
    assert (desk.mirror().state, sent(desk), record(desk)) == ("delivered", [], THEIRS)


async def test_a_withdrawn_edit_of_an_adopted_record_is_held_no_longer_and_the_owners_edit_is_sent(
    desk: Rig,
) -> None:
    adopts(desk)
    elsewhere(desk, title="Newer")
    await verified(desk)
    elsewhere(desk, title=THEIRS["title"])
    assert await verified(desk) == {Outcome.REBASED: 1}
    assert (sent(desk), desk.mirror().state, record(desk)) == ([], "delivered", THEIRS)
    desk.edit(title="Ours")
    await desk.relay_once()
    assert (record(desk)["title"], desk.mirror().state) == ("Ours", "delivered")


async def test_an_edit_of_the_owner_during_the_verification_that_finds_an_edit_withdrawn_is_sent(
    desk: Rig,
) -> None:
    adopts(desk)
    elsewhere(desk, title="Newer")
    await verified(desk)
    elsewhere(desk, title=THEIRS["title"])
    with desk.database.write() as connection:
        reverify(connection, Track.subjects([1]), desk.clock())
    verification = StepwiseDelivery(desk)
    assert await verification.send() is Outcome.REBASED
    desk.edit(title="Ours")
    verification.settle()
    await desk.relay_once()
    assert (record(desk)["title"], desk.mirror().state) == ("Ours", "delivered")


async def test_the_log_alone_identifies_the_adopted_record_as_ours(desk: Rig) -> None:
    adopts(desk)
    desk.execute(delete(mirror_target))
    rebuild(desk.log, desk.log.projections, progress=lambda *_: None)
    desk.edit(title="Ours")
    await desk.relay_once()
    assert (record(desk)["title"], record(desk)["likes"], desk.mirror().state) == ("Ours", 3, "delivered")


async def test_an_account_that_never_signed_in_has_a_place_to_be_verified_at(desk: Rig) -> None:
    desk.execute(delete(mirror_lane))
    adopts(desk)
    [lane] = desk.rows(select(mirror_lane.c.host, mirror_lane.c.state))
    assert tuple(lane) == (desk.pds.url, "auth_required")


async def test_a_track_keeps_the_parts_of_a_blob_reference_and_nothing_else(desk: Rig) -> None:
    track = await delivered(desk, 1)
    found = desk.pds.get_record(desk.did, COLLECTION, track.rkey)
    audio = track.audio
    blob = {"$type": "blob", "ref": {"$link": audio.cid}, "mimeType": audio.mime, "size": audio.size}
    newer = {**found["value"], "title": "newer", "audioBlob": {**blob, "junk": "x" * 100_000}}
    with desk.log.unit_of_work(desk.did, ARTIST) as unit:
        keep_newer(unit, RecordKey(desk.did, COLLECTION, track.rkey), found["cid"], newer, KINDS)
    with desk.database.read() as connection:
        kept = desk.log.fold(Track, desk.log.stream(connection, desk.did, Track.create_id(1)))
    assert kept.blob.ref == blob
