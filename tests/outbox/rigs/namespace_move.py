"""A record that changes its namespace, and other clients' writes in the old and the new one."""

from typing import Any

from aggregates.tracks.track import Track
from application.records import Decision, OnPds, Resolution, change_namespace, resolve
from outbox.record.kind import RecordKind
from outbox.relay.delivery import LATE_CREATE_WINDOW
from outbox.tracks.record import TrackRecords
from tests.dsl import COLLECTION, OLD_COLLECTION
from tests.outbox.rigs.foreign_writes import verified
from tests.outbox.rigs.relay_rig import ARTIST, RECORDS, URLS, Rig

WAIT = {"seconds": LATE_CREATE_WINDOW.total_seconds() * 3}
FOREIGN = {"likes": 3}


def moves(rig: Rig, track_id: int = 1, *, to: RecordKind = RECORDS, found: OnPds = OnPds.ABSENT) -> Track:
    with rig.log.unit_of_work(rig.did, ARTIST) as unit:
        track = unit.load(Track, Track.create_id(track_id))
        change_namespace(unit, track, to, found)
        return track


def moves_back(rig: Rig, track_id: int = 1) -> Track:
    """The service's collection was set back, and the owner changes the record's namespace again."""
    return moves(rig, track_id, to=TrackRecords(URLS, OLD_COLLECTION, COLLECTION))


def decides(rig: Rig, keep: Resolution) -> None:
    with rig.log.unit_of_work(rig.did, ARTIST) as unit:
        resolve(unit, unit.load(Track, Track.create_id(1)), RECORDS, Decision(keep))


def old(rig: Rig, track: Track) -> dict[str, Any] | None:
    found = rig.pds.get_record(rig.did, OLD_COLLECTION, track.rkey)
    return found["value"] if found is not None else None


def writes_elsewhere(rig: Rig, track: Track, **fields: Any) -> None:
    rig.pds.put_record(rig.did, OLD_COLLECTION, track.rkey, {**(old(rig, track) or {}), **fields})


async def in_the_old_place(rig: Rig, **fields: Any) -> Track:
    """A track whose record is there, with a field of another client."""
    track = rig.upload(collection=OLD_COLLECTION, **fields)
    await rig.relay_once()
    writes_elsewhere(rig, track, **FOREIGN)
    await verified(rig)
    return track


def event_statuses(rig: Rig) -> list[tuple[str, str]]:
    return list(zip(rig.types(), rig.statuses(), strict=True))


def writes(rig: Rig) -> list[tuple[str, str]]:
    """What was sent, and where to."""
    return [(name, body["collection"]) for name, body in rig.wire.sent if name != "uploadBlob"]
