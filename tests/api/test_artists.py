"""Reading artists: who is shown, and what of them."""

from tests.api.world import did_of, refusal
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


def test_an_artist_is_read_by_handle_and_by_did(client, alice):
    client.patch("/me", json={"display_name": "DJ Alice", "bio": "Plays records."}, headers=alice.headers)
    by_handle = client.get("/artists/Alice.test")
    assert by_handle.json() == {
        "did": alice.did,
        "handle": "alice.test",
        "display_name": "DJ Alice",
        "bio": "Plays records.",
        "avatar_url": None,
        "support_url": None,
        "pds_url": "https://pds.example.com",
    }
    assert client.get(f"/artists/{alice.did}").json() == by_handle.json()


def test_who_has_not_signed_in_here_is_not_found(client):
    for artist in ("nobody.test", "did:plc:nobody", "handle.invalid", "%00", "%F0%9F%8E%B5"):
        assert refusal(client.get(f"/artists/{artist}")) == (404, "not_found"), artist


def test_several_artists_are_read_at_once_without_those_who_are_not_here(client, alice, bob):
    found = client.get("/artists", params={"did": [alice.did, bob.did, did_of("nobody"), "\0"]}).json()
    assert sorted(each["handle"] for each in found["items"]) == ["alice.test", "bob.test"]
    assert refusal(client.get("/artists", params={"did": [alice.did] * 101})) == (400, "invalid_field")
    assert refusal(client.get("/artists")) == (422, "unparsable")


def test_an_artist_who_is_leaving_is_not_shown(client, alice):
    client.delete("/me", headers=alice.headers)
    assert refusal(client.get(f"/artists/{alice.did}")) == (404, "not_found")
    assert client.get("/artists", params={"did": alice.did}).json() == {"items": []}
