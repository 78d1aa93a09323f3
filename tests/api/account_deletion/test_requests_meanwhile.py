"""While an account is being deleted: which requests are refused, which still work, and the export."""

from pydantic import SecretStr

from tests.api.account_deletion.deletion import leave
from tests.api.auth.route_table import ROUTES, Who, of
from tests.api.client import TestClient
from tests.api.world import ids_of, refusal, upload_with_all
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


ALLOWED = {
    "DELETE /me",
    "POST /me/verify",
    "DELETE /auth/tokens",
    "DELETE /tracks/{track_id}",
    "POST /tracks/{track_id}/mirror/retry",
    "DELETE /comments/{comment_id}",
    "POST /comments/{comment_id}/mirror/retry",
    "POST /profiles/{profile_id}/mirror/retry",
    "DELETE /albums/{album_id}",
    "POST /albums/{album_id}/mirror/retry",
    "DELETE /playlists/{playlist_id}",
    "POST /playlists/{playlist_id}/mirror/retry",
    "POST /liked/{liked_id}/mirror/retry",
}
"""What follows the deletion, ends sessions, or brings it further."""
REFUSED = [name for name in of(Who.OWN, Who.TRACK) if not name.startswith("GET ") and name not in ALLOWED]


def is_refused(client, person, name, ids):
    method, path = name.split(" ")
    answer = client.request(method, path.format(**ids), headers=person.headers, **ROUTES[name].body)
    return answer.status_code == 409 and refusal(answer) == (409, "leaving")


def test_all_commands_that_do_not_serve_the_deletion_are_refused_meanwhile(world, client, alice):
    ids = ids_of(upload_with_all(client, alice))
    leave(client, alice)
    before = world.state()
    assert [name for name in REFUSED if not is_refused(client, alice, name, ids)] == []
    assert world.state() == before


def test_a_token_that_was_used_before_is_refused_alike_at_first_and_later(world, client, alice, monkeypatch):
    ids = ids_of(upload_with_all(client, alice))
    credentials = world.services.credentials
    before = credentials.authenticate(SecretStr(alice.token))
    leave(client, alice)
    for name in REFUSED:
        with monkeypatch.context() as remembering:  # as another process does
            remembering.setattr(credentials, "remembered", lambda _token: before)
            assert is_refused(client, alice, name, ids), name
        assert is_refused(client, alice, name, ids), name


def test_requests_that_still_work_during_an_account_deletion(client, alice, tracks):
    leave(client, alice)
    retried = client.post(f"/tracks/{tracks[0]['id']}/mirror/retry", headers=alice.headers)
    assert retried.status_code == 200
    assert client.get(f"/tracks/{tracks[0]['id']}/history", headers=alice.headers).status_code == 200
    export = client.get("/me/export", headers=alice.headers)
    assert export.headers["content-type"].startswith("application/x-ndjson")


def test_an_upload_that_began_before_the_deletion_is_refused(world, client, alice, monkeypatch):
    """It was let in, and while its body came, its artist asked to leave."""
    from api.routers.tracks import writes as track_commands

    name_of = track_commands.artist_name

    def leave_meanwhile(name):
        leave(TestClient(world.app), alice)
        return name_of(name)

    monkeypatch.setattr(track_commands, "artist_name", leave_meanwhile)
    answer = client.post(
        "/tracks", data={"title": "x"}, files={"file": samples.mp3(9)}, headers=alice.headers
    )
    assert refusal(answer) == (409, "leaving")
    assert client.get("/tracks").json()["items"] == []
