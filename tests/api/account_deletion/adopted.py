"""Adopts a record that another client made."""

from eventstore.streams.ids import next_subject_id
from outbox.conflicts.conflicts import set_lane_host
from outbox.pds.client import RecordKey, Remote
from outbox.relay.result import acknowledge_as_found
from replay.adoption.record import read_record
from tests.dsl import COLLECTION
from tests.fake_pds.scripted_pds import HOST
from tests.outbox.rigs.relay_rig import ARTIST, RECORDS, audio_of

RKEY = "3n32ltnlh6222"
THEIRS = {
    "$type": COLLECTION,
    "title": "Theirs",
    "artist": "The Artist",
    "audioUrl": "https://elsewhere.test/song.mp3",
    "fileType": "mp3",
    "createdAt": "2019-05-04T12:00:07.5+02:00",
}


def adopt(world, person, body):
    world.pds.put_record(person.did, COLLECTION, RKEY, body)
    found = world.pds.get_record(person.did, COLLECTION, RKEY)
    key = RecordKey(person.did, COLLECTION, RKEY)
    read = read_record(key, Remote(found["cid"], found["value"]), RECORDS)
    with world.log.unit_of_work(person.did, ARTIST) as unit:
        number = next_subject_id(unit.connection, person.did)
        adopted = read.adopted(number, audio_of(b"sound"), unit.now, artwork=None, image_url=None)
        [change] = unit.save(adopted)
        acknowledge_as_found(unit.connection, key, change.position, (read.cid, found["value"]), unit.now)
        set_lane_host(unit.connection, person.did, HOST)
    return adopted


def uri_of(person):
    return f"at://{person.did}/{COLLECTION}/{RKEY}"
