"""What a restored log takes over from a record that is newer on the PDS."""

import pytest

from aggregates.track import Track
from outbox.conflicts.newer_on_pds import keep_newer
from outbox.pds.client import RecordKey
from tests.dsl import COLLECTION
from tests.outbox.rigs.foreign_writes import delivered
from tests.outbox.rigs.relay_rig import ARTIST, KINDS, Rig
from tests.servers.databases import ON_SQLITE

pytestmark = pytest.mark.anyio


@ON_SQLITE
async def test_a_track_keeps_the_parts_of_a_blob_reference_and_nothing_else(desk: Rig) -> None:
    track = await delivered(desk, 1)
    found = desk.pds.get_record(desk.did, COLLECTION, track.rkey)
    audio = track.audio
    blob = {"$type": "blob", "ref": {"$link": audio.cid}, "mimeType": audio.mime, "size": audio.size}
    newer = {**found["value"], "title": "newer", "audioBlob": {**blob, "junk": "x" * 100_000}}
    with desk.log.unit_of_work(desk.did, ARTIST) as unit:
        keep_newer(unit, RecordKey(desk.did, COLLECTION, track.rkey), found["cid"], newer, KINDS)
    with desk.database.read() as connection:
        kept = desk.log.fold(Track, desk.log.stream(connection, Track.create_id(1)))
    assert kept.blob.ref == blob
