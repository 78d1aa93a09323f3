"""DELETE /me leaves the records that another client made, unless this service has written them since, or may have."""

import httpx
import pytest

from aggregates.published import Subject
from eventstore.streams.ids import next_subject_id
from outbox.conflicts.conflicts import set_lane_host
from outbox.mirror.requeue import reverify
from outbox.pds.client import RecordKey, Remote
from outbox.relay.result import acknowledge_as_found
from replay.adoption.record import read_record
from tests.api.account_deletion.deletion import is_deleted, me
from tests.dsl import COLLECTION
from tests.fake_pds.scripted_pds import HOST, ScriptedPds
from tests.outbox.rigs.relay_rig import ARTIST, RECORDS, audio_of
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE

RKEY = "3n32ltnlh6222"
THEIRS = {
    "$type": COLLECTION,
    "title": "Theirs",
    "artist": "The Artist",
    "audioUrl": "https://elsewhere.test/song.mp3",
    "fileType": "mp3",
    "createdAt": "2019-05-04T12:00:07.5+02:00",
}


@pytest.fixture
def track(world, alice):
    world.pds.put_record(alice.did, COLLECTION, RKEY, THEIRS)
    found = world.pds.get_record(alice.did, COLLECTION, RKEY)
    key = RecordKey(alice.did, COLLECTION, RKEY)
    read = read_record(key, Remote(found["cid"], found["value"]), RECORDS)
    with world.log.unit_of_work(alice.did, ARTIST) as unit:
        number = next_subject_id(unit.connection, alice.did)
        adopted = read.adopted(number, audio_of(b"sound"), unit.now, artwork=None, image_url=None)
        [change] = unit.save(adopted)
        acknowledge_as_found(unit.connection, key, change.position, (read.cid, found["value"]), unit.now)
        set_lane_host(unit.connection, alice.did, HOST)
    return adopted


def uri_of(person):
    return f"at://{person.did}/{COLLECTION}/{RKEY}"


def edit(world, client, person, track):
    body = {"title": "Ours"}
    assert client.patch(f"/tracks/{track.track_id}", json=body, headers=person.headers).status_code == 200
    world.deliver()


def verify(world, track):
    with world.database.write() as connection:
        reverify(connection, [Subject.of(track)], world.database.now(connection))
    world.deliver()


def test_an_adopted_record_whose_edit_the_pds_refused_stays(world, client, alice, track):
    world.pds.write_refusals = [(400, "InvalidRequest")]
    edit(world, client, alice, track)
    is_deleted(world, client, alice)
    assert world.pds.records[uri_of(alice)] == THEIRS
    assert me(client, alice).status_code == 401


def test_an_adopted_record_that_was_away_for_a_while_stays(world, client, alice, track):
    del world.pds.records[uri_of(alice)]
    verify(world, track)
    assert "putRecord" in world.pds.requests  # asks whether it is gone, and is refused
    world.pds.records[uri_of(alice)] = THEIRS
    verify(world, track)
    is_deleted(world, client, alice)
    assert world.pds.records[uri_of(alice)] == THEIRS
    assert me(client, alice).status_code == 401


def test_an_adopted_record_that_was_edited_here_goes(world, client, alice, track):
    edit(world, client, alice, track)
    is_deleted(world, client, alice)
    assert uri_of(alice) not in world.pds.records


def test_an_adopted_record_goes_whose_edit_was_taken_and_never_answered(
    world, client, alice, track, monkeypatch
):
    answer = ScriptedPds.handle_async_request

    async def lose(pds, request):
        taken = await answer(pds, request)
        if request.url.path.endswith("putRecord"):
            raise httpx.ReadError("lost")
        return taken

    with monkeypatch.context() as patched:
        patched.setattr(ScriptedPds, "handle_async_request", lose)
        edit(world, client, alice, track)
    assert world.pds.records[uri_of(alice)]["title"] == "Ours"
    is_deleted(world, client, alice)
    assert uri_of(alice) not in world.pds.records
