"""An album, a playlist or a profile that was taken down: who still sees it, its pictures and its record. Of tracks, tests/api/tracks tells."""

import pytest

from projections.rebuild.rebuild import rebuild
from tests.api.lists.requests import create
from tests.api.world import refusal, upload
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE
IMAGE = {"image": ("cover.png", samples.png(), "image/png")}
WORDS = ("album", "playlist")
TITLE = {"album": "title", "playlist": "name"}


@pytest.fixture
def track(client, alice):
    return upload(client, alice)


@pytest.fixture(params=WORDS)
def made(request, world, client, alice, track):
    word = request.param
    made = create(client, alice, track, path=f"/{word}s", **{TITLE[word]: "Pressings"})
    answer = client.patch(f"/{word}s/{made['id']}", files=IMAGE, headers=alice.headers)
    world.deliver()
    return {**answer.json(), "word": word}


def headers_of(person):
    return person.headers if person else {}


def decide(client, person, word, subject_id, **body):
    path = f"/ops/{word}s/{subject_id}/takedown"
    return client.post(path, json={"reason": "a claim", **body}, headers=person.headers)


def take_down(client, admin, made):
    assert decide(client, admin, made["word"], made["id"]).json()["affected"] == 1


def read(client, made, person=None):
    return client.get(f"/{made['word']}s/{made['id']}", headers=headers_of(person))


def fetch(client, url, person=None):
    return client.get(url.split("8000", 1)[1], headers=headers_of(person)).status_code


def listed(client, made, person=None):
    page = client.get(f"/artists/{made['owner_did']}/{made['word']}s", headers=headers_of(person))
    return [each["id"] for each in page.json()["items"]]


def found(client, made):
    """What the peer's clients find by its name."""
    results = client.get("/plyr/search/", params={"q": "Pressings"}).json()["results"]
    return [each["type"] for each in results if each["type"] == made["word"]]


def test_a_list_is_there_for_its_owner_and_operators_alone(*, client, alice, bob, admin, operator, made):
    assert found(client, made) == [made["word"]]
    take_down(client, admin, made)
    missing = (404, "list_not_found")
    for person in (None, bob):
        assert refusal(read(client, made, person)) == missing
        assert listed(client, made, person) == []
    for path in ("history", "mirror"):
        answer = client.get(f"/{made['word']}s/{made['id']}/{path}", headers=bob.headers)
        assert refusal(answer) == missing
    assert found(client, made) == []
    for person in (alice, admin, operator):
        assert read(client, made, person).json()["taken_down_at"] is not None
    assert (listed(client, made, alice), listed(client, made, admin)) == ([made["id"]], [])


def test_a_list_is_gone_from_what_the_peers_clients_read(client, bob, admin, track, made):
    take_down(client, admin, made)
    uri = read(client, made, admin).json()["uri"]
    assert client.get("/plyr/lists/by-uri", params={"uri": uri}, headers=bob.headers).status_code == 404
    assert client.get("/plyr/albums/alice.test").json()["albums"] == []
    assert client.get(f"/plyr/lists/playlists/by-artist/{made['owner_did']}").json() == []
    [shown] = client.get("/plyr/tracks/").json()["tracks"]
    assert (shown["title"], shown["album"]) == (track["title"], None)


def test_the_cover_of_a_list_is_for_admins_alone(*, client, alice, bob, admin, operator, made):
    assert fetch(client, made["image_url"], bob) == 200
    take_down(client, admin, made)
    for person in (None, alice, bob, operator):
        assert fetch(client, made["image_url"], person) == 404
    assert fetch(client, made["image_url"], admin) == 200


def test_the_record_of_a_list_is_left_alone_and_edits_go_on_to_reach_it(world, client, alice, admin, made):
    uri = read(client, made, alice).json()["uri"]
    before = dict(world.pds.records[uri])
    take_down(client, admin, made)
    world.deliver()
    assert world.pds.records[uri] == before
    edit = {TITLE[made["word"]]: "Second"}
    client.patch(f"/{made['word']}s/{made['id']}", json=edit, headers=alice.headers)
    world.deliver()
    assert world.pds.records[uri]["name"] == "Second"
    assert read(client, made).status_code == 404


def test_neither_undelete_nor_revert_brings_a_list_back_and_lifting_does(world, client, alice, admin, made):
    here = f"/{made['word']}s/{made['id']}"
    take_down(client, admin, made)
    client.delete(here, headers=alice.headers)
    assert decide(client, admin, made["word"], made["id"]).json()["affected"] == 0
    client.post(f"{here}/undelete", headers=alice.headers)
    client.post(f"{here}/revert", json={"to_version": 1}, headers=alice.headers)
    rebuild(world.log, world.log.projections)
    assert read(client, made).status_code == 404
    assert listed(client, made) == []
    counted = decide(client, admin, made["word"], made["id"], lift=True, dry_run=True).json()
    assert (counted["affected"], counted[f"{made['word']}_id"]) == (1, made["id"])
    assert read(client, made).status_code == 404
    lifted = decide(client, admin, made["word"], made["id"], lift=True, reason="withdrawn").json()
    assert (lifted["affected"], lifted["taken_down_at"]) == (1, None)
    assert listed(client, made) == [made["id"]]


def test_bytes_are_refused_of_a_track_alone(client, alice, admin, made):
    answer = decide(client, admin, made["word"], made["id"], bytes=True)
    assert refusal(answer) == (400, "unknown_field")
    assert "There is no field 'bytes' here" in answer.text
    assert read(client, made, alice).json()["taken_down_at"] is None


def test_the_door_of_playlists_takes_down_no_album(client, admin, made):
    other = next(word for word in WORDS if word != made["word"])
    assert refusal(decide(client, admin, other, made["id"])) == (404, "list_not_found")


def test_the_owner_reads_who_did_it_and_why_and_the_operator_what(client, alice, admin, made):
    take_down(client, admin, made)
    [row] = client.get("/audit", params={"type": "TakenDown"}, headers=alice.headers).json()["items"]
    assert row["actor"] == admin.did
    wanted = {"did": admin.did, "type": "OperatorActed"}
    [row] = client.get("/audit", params=wanted, headers=admin.headers).json()["items"]
    acted = {each["field"]: each["after"] for each in row["changes"]}
    assert (acted["action"], acted["reason"]) == ("takedown", "a claim")
    assert acted["filter"] == {"did": alice.did, f"{made['word']}_id": made["id"]}


@pytest.fixture
def profile(world, client, alice):
    client.put("/me/avatar", files=IMAGE, headers=alice.headers)
    client.patch("/me", json={"bio": "I cut lacquers"}, headers=alice.headers)
    world.deliver()
    return client.get("/me", headers=alice.headers).json()["profile"]


@pytest.mark.usefixtures("track")
def test_a_profile_is_there_for_its_owner_and_operators_alone(
    *, world, client, alice, bob, admin, operator, profile
):
    record = dict(world.pds.records[profile["uri"]])
    url = profile["avatar_url"]
    down = decide(client, admin, "profile", profile["id"]).json()
    assert (down["affected"], down["profile_id"]) == (1, profile["id"])

    def said_to(person):
        artist = client.get(f"/artists/{alice.did}", headers=headers_of(person)).json()
        return artist["bio"], artist["avatar_url"]

    assert (said_to(None), said_to(bob)) == ((None, None), (None, None))
    for person in (alice, operator):
        assert said_to(person) == ("I cut lacquers", None)
    assert said_to(admin) == ("I cut lacquers", url)
    assert client.get("/me", headers=alice.headers).json()["profile"]["taken_down_at"] is not None
    assert client.get("/plyr/artists/alice.test").json()["bio"] is None
    assert client.get("/plyr/tracks/").json()["tracks"][0]["artist_avatar_url"] is None
    for person in (None, alice, bob, operator):
        assert fetch(client, url, person) == 404
    assert fetch(client, url, admin) == 200
    world.deliver()
    assert world.pds.records[profile["uri"]] == record
    decide(client, admin, "profile", profile["id"], lift=True)
    assert said_to(None) == ("I cut lacquers", url)
