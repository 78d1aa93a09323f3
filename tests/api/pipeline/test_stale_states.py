"""Another process may have changed a track since this one cached its state: the unit of work decides."""

import pytest

from aggregates.tracks.track import Track
from tests.api.world import upload


@pytest.fixture
def stale(client, world, alice):
    """Upload a track, and return it with what makes this process forget all changes since."""
    track = upload(client, alice)
    stream = Track.create_id(track["id"])
    known = world.log.cache.get(stream)
    return track, lambda: world.log.cache.put(stream, known)


def patch(client, person, track, **headers):
    headers = {**person.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return client.patch(f"/tracks/{track['id']}", json={"title": "Mine"}, headers=headers)


def test_an_edit_of_a_track_that_another_process_deleted_is_refused(client, world, alice, stale):
    track, forget = stale
    client.delete(f"/tracks/{track['id']}", headers=alice.headers)
    forget()
    before = world.state()
    assert patch(client, alice, track).status_code == 404
    assert world.state() == before


def test_an_edit_decided_on_a_version_that_another_process_replaced_is_refused(client, world, alice, stale):
    track, forget = stale
    patch(client, alice, track)
    forget()
    before = world.state()
    assert patch(client, alice, track, if_match=f'"{track["version"]}"').status_code == 412
    assert world.state() == before


def test_an_edit_decided_on_the_version_of_another_process_is_made(client, alice, stale):
    track, forget = stale
    etag = patch(client, alice, track).headers["etag"]
    forget()
    assert patch(client, alice, track, if_match=etag).status_code == 200
