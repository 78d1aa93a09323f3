"""Tracks as clients of plyr.fm read them."""

from tests.api.world import upload


def test_a_track_is_read_with_every_field_of_the_peer(client, alice):
    mine = upload(client, alice, title="Blue", album="Night Train", tags=["jazz"])
    shown = client.get(f"/plyr/tracks/{mine['id']}").json()
    assert (shown["id"], shown["title"], shown["r2_url"]) == (mine["id"], "Blue", mine["audio_url"])
    assert shown["album"]["slug"] == "night-train"


def test_an_error_says_in_a_text_what_happened(client):
    answer = client.get("/plyr/tracks/77")
    assert (answer.status_code, answer.json()) == (
        404,
        {"detail": "track not found", "error": "track_not_found"},
    )
