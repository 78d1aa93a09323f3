"""An account's own tracks, by the state of their mirror, chosen ones, and the deleted ones."""

import pytest

from tests.api.records.test_resolve import held
from tests.api.world import upload
from tests.servers.databases import ON_SQLITE


@pytest.fixture
def titles(client, alice):
    def of(**query):
        answer = client.get("/me/tracks", params=query, headers=alice.headers)
        assert answer.status_code == 200, answer.text
        return [track["title"] for track in answer.json()["items"]]

    return of


@pytest.fixture
def four(world, client, alice, bob):
    """Of alice: delivered, held, pending and unlisted, deleted. And one of bob's."""
    made = {"delivered": upload(client, alice, title="delivered", seed=11)}
    made["held"] = held(world, client, alice)
    made["pending"] = upload(client, alice, title="pending", seed=12, unlisted=True)
    made["deleted"] = upload(client, alice, title="deleted", seed=13)
    client.delete(f"/tracks/{made['deleted']['id']}", headers=alice.headers)
    made["other"] = upload(client, bob, title="other", seed=14)
    return made


def test_tracks_are_filtered_by_state_id_words_and_deletion(titles, four):
    assert titles() == ["pending", "first", "delivered"]
    assert titles(mirror="held") == ["first"]
    assert titles(mirror=["pending", "delivered"]) == ["pending", "delivered"]
    assert titles(deleted=True) == ["deleted"]
    assert titles(q="PEND") == ["pending"]
    assert titles(id=[four["delivered"]["id"], four["deleted"]["id"], four["other"]["id"]]) == ["delivered"]
    assert titles(id=[four["other"]["id"]]) == []


@pytest.mark.usefixtures("four")
def test_pages_count_all_tracks_once_and_end(client, alice):
    first = client.get("/me/tracks", params={"limit": 2}, headers=alice.headers).json()
    assert (first["counts"], first["deleted"]) == ({"pending": 1, "held": 1, "delivered": 1}, 1)
    second = client.get("/me/tracks", params={"limit": 2, "cursor": first["cursor"]}, headers=alice.headers)
    assert [track["title"] for track in second.json()["items"]] == ["delivered"]
    assert (second.json()["counts"], second.json()["cursor"]) == (None, None)


@ON_SQLITE
def test_a_track_tells_what_a_copy_of_its_audio_would_cost(client, alice):
    upload(client, alice, support_gate={"type": "any"}, seed=15)
    (track,) = client.get("/me/tracks", headers=alice.headers).json()["items"]
    assert track["audio_copy"] == "gated"
    audio = client.get(track["audio_url"], headers=alice.headers).content
    assert track["audio_size"] == len(audio)
