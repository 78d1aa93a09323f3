"""Errors under /plyr: a text for people, which clients compare, and our code."""

from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


def both(answer):
    body = answer.json()
    assert isinstance(body["detail"], str)
    assert answer.headers["content-length"] == str(len(answer.content))
    return answer.status_code, body["error"], body["detail"]


def test_a_client_reads_the_words_that_it_compares(client):
    assert both(client.get("/plyr/tracks/77")) == (404, "track_not_found", "track not found")
    assert both(client.get("/plyr/tracks/me"))[2] == "not authenticated - login required"
    assert both(client.get("/plyr/audio/bafyx")) == (404, "media_not_found", "audio file not found")
    assert both(client.get("/plyr/artists/nobody"))[:2] == (404, "not_found")


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
