"""Errors under /plyr: a text for people, which clients compare, and our code."""

from tests.api.plyr.writing import both
from tests.api.world import upload
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


def test_a_client_reads_the_words_that_it_compares(client):
    assert both(client.get("/plyr/tracks/77")) == (404, "track_not_found", "track not found")
    assert both(client.get("/plyr/tracks/me"))[2] == "not authenticated - login required"
    assert both(client.get("/plyr/audio/bafyx")) == (404, "media_not_found", "audio file not found")
    assert both(client.get("/plyr/artists/nobody"))[:2] == (404, "not_found")


def test_what_is_anothers_or_gone_is_refused_in_the_peers_words(subtests, client, alice, bob):
    track = upload(client, alice)
    path = f"/plyr/tracks/{track['id']}"
    files = {"file": ("song.mp3", samples.mp3(9))}
    for method, end, said in (
        ("PATCH", "", "edit your own"),
        ("DELETE", "", "delete your own"),
        ("PUT", "/audio", "replace audio on your own"),
        ("POST", "/restore-record", "restore your own"),
        ("POST", "/migrate-to-pds", "migrate your own"),
        ("GET", "/revisions", "view or restore revisions on your own"),
        ("POST", "/revisions/1/restore", "view or restore revisions on your own"),
    ):
        with subtests.test(f"{method} {end}"):
            sent = {"files": files} if end == "/audio" else {}
            answer = client.request(method, f"{path}{end}", headers=bob.headers, **sent)
            assert both(answer) == (403, "not_owner", f"you can only {said} tracks")
    assert both(client.get(f"{path}/revisions"))[:2] == (401, "not_authenticated")
    missing = client.post(f"{path}/revisions/1/restore", headers=alice.headers)
    assert both(missing) == (404, "not_found", "revision not found")


def test_what_is_a_persons_own_needs_a_token(client, subtests):
    for path in ("/tracks/me", "/tracks/me/broken", "/tracks/me/file-sizes", "/artists/me", "/auth/me"):
        with subtests.test(path):
            assert both(client.get(f"/plyr{path}"))[:2] == (401, "not_authenticated")


def test_errors_of_the_framework_and_of_middlewares_have_the_shape_too(client):
    assert both(client.get("/plyr/tracks/x"))[0] == 422
    assert both(client.get("/plyr/nothing"))[0] == 404
    assert both(client.put("/plyr/tracks/1/by"))[0] == 404
    assert both(client.get(f"/plyr/tracks/?artist_did={'x' * 9000}"))[:2] == (414, "url_too_long")
    assert both(client.get("/plyr/tracks/?artist=x"))[:2] == (422, "unknown_parameter")


def test_our_own_routes_keep_their_shape(client):
    assert client.get("/tracks/77").json()["detail"]["error"] == "track_not_found"
