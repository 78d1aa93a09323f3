"""The record of a profile: that of its account's PDS is adopted with the first edit here, and nothing is written before that."""

import pytest

from projections.media_references import named
from tests.api.likes.test_like import read
from tests.api.test_profile import edit, me
from tests.api.world import refusal
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE
COLLECTION = "fm.plyr.actor.profile"
THEIRS = {
    "$type": COLLECTION,
    "bio": "Theirs",
    "avatar": "https://pictures.test/a.png",
    "createdAt": "2019-05-04T12:03:07.5+02:00",
    "updatedAt": "2020-05-04T12:03:07.5+02:00",
    "mood": "blue",
}


def uri_of(person):
    return f"at://{person.did}/{COLLECTION}/self"


def record_of(world, person):
    return world.pds.records.get(uri_of(person))


def set_picture(client, person, data=None, **headers):
    sent = {} if data is None else {"files": {"image": ("a.png", data, "image/png")}}
    method = "DELETE" if data is None else "PUT"
    return client.request(method, "/me/avatar", headers={**person.headers, **headers}, **sent)


def types_of(client, person):
    profile = read(client, person, "/me")["profile"]
    return [each["type"] for each in read(client, person, f"/profiles/{profile['id']}/history")["items"]]


def test_nothing_is_written_before_its_owner_saves_a_profile(client, world, alice):
    edit(client, alice, display_name="DJ Alice")
    edit(client, alice, bio="")
    world.deliver()
    assert (record_of(world, alice), read(client, alice, "/me")["profile"]) == (None, None)

    edit(client, alice, bio="Plays records.")
    profile = read(client, alice, "/me")["profile"]
    assert (profile["mirror"]["state"], profile["uri"], profile["cid"]) == ("pending", uri_of(alice), None)
    world.deliver()
    record = record_of(world, alice)
    assert (record["$type"], record["bio"], record["createdAt"]) == (
        COLLECTION,
        "Plays records.",
        profile["created_at"],
    )
    assert "avatar" not in record
    assert read(client, alice, f"/profiles/{profile['id']}/mirror")["state"] == "delivered"
    assert read(client, None, f"/artists/{alice.did}")["bio"] == "Plays records."
    assert types_of(client, alice) == ["Edited", "Created"]

    edit(client, alice, bio="")
    world.deliver()
    assert "bio" not in record_of(world, alice)
    assert me(client, alice) == ("DJ Alice", None)


@ON_SQLITE
def test_an_empty_bio_of_a_form_says_nothing_of_a_record_that_was_never_read(client, world, alice):
    world.pds.records[uri_of(alice)] = THEIRS
    edit(client, alice, display_name="DJ Alice", bio="")
    world.deliver()
    assert record_of(world, alice) == THEIRS


def test_the_record_that_is_there_is_adopted_with_the_first_edit_and_keeps_what_is_unknown(
    client, world, alice
):
    world.pds.records[uri_of(alice)] = THEIRS
    edit(client, alice, bio="Ours")
    world.deliver()
    record = record_of(world, alice)
    kept = {name: THEIRS[name] for name in ("avatar", "createdAt", "mood")}
    assert {name: record[name] for name in kept} == kept
    assert (record["bio"], record["updatedAt"] > THEIRS["updatedAt"]) == ("Ours", True)
    assert types_of(client, alice) == ["Edited", "Adopted"]
    assert read(client, None, f"/artists/{alice.did}")["avatar_url"] == THEIRS["avatar"]


@ON_SQLITE
@pytest.mark.parametrize("broken", [{"bio": 5}, {"avatar": "no address"}, {"bio": "x" * 257}])
def test_a_record_that_cannot_be_adopted_waits_for_its_owner_s_decision(client, world, alice, broken):
    world.pds.records[uri_of(alice)] = {**THEIRS, **broken}
    edit(client, alice, bio="Ours")
    world.deliver()
    profile = read(client, alice, "/me")["profile"]
    assert profile["mirror"]["state"] == "held"
    assert record_of(world, alice)["mood"] == "blue"
    path = f"/profiles/{profile['id']}/mirror/resolve"
    assert client.post(path, json={"keep": "ours"}, headers=alice.headers).status_code == 200
    world.deliver()
    assert (record_of(world, alice)["bio"], record_of(world, alice)["mood"]) == ("Ours", "blue")


@ON_SQLITE
def test_a_profile_is_saved_while_its_pds_is_away(client, world, alice):
    world.pds.away = True
    assert edit(client, alice, bio="Ours").status_code == 200
    world.pds.away = False
    world.deliver()
    assert record_of(world, alice)["bio"] == "Ours"


@ON_SQLITE
def test_a_bio_that_another_client_changed_is_decided_field_by_field(client, world, alice):
    edit(client, alice, bio="Ours")
    world.deliver()
    world.pds.records[uri_of(alice)] = {**record_of(world, alice), "bio": "Theirs"}
    edit(client, alice, bio="Newer")
    world.deliver()
    profile = read(client, alice, "/me")["profile"]
    assert profile["mirror"]["state"] == "held"
    sent = {"fields": {"bio": "theirs"}}
    client.post(f"/profiles/{profile['id']}/mirror/resolve", json=sent, headers=alice.headers)
    world.deliver()
    assert (me(client, alice)[1], record_of(world, alice)["bio"]) == ("Theirs", "Theirs")


def test_a_picture_is_served_and_named_by_the_record(client, world, alice):
    answer = set_picture(client, alice, samples.png())
    assert answer.status_code == 200, answer.text
    address = answer.json()["avatar_url"]
    world.deliver()
    assert record_of(world, alice)["avatar"] == address
    assert read(client, None, f"/artists/{alice.did}")["avatar_url"] == address
    found = client.get(address.removeprefix("http://127.0.0.1:8000"))
    assert (found.status_code, found.headers["content-type"]) == (200, "image/png")
    with world.database.read() as connection:
        [cid] = named(connection, [address.rpartition("/")[2]], world.database.now(connection))
    assert address.endswith(cid)

    again = set_picture(client, alice, samples.png())
    assert again.json()["version"] == answer.json()["version"]
    stale = {"If-Match": '"1"'}
    assert refusal(set_picture(client, alice, samples.png(color="red"), **stale)) == (412, "version_mismatch")

    assert set_picture(client, alice).json()["avatar_url"] is None
    world.deliver()
    assert "avatar" not in record_of(world, alice)
    assert types_of(client, alice) == ["AvatarRemoved", "AvatarReplaced", "Created"]


@ON_SQLITE
def test_a_picture_goes_in_place_of_one_that_is_elsewhere(client, world, alice):
    world.pds.records[uri_of(alice)] = THEIRS
    set_picture(client, alice, samples.png())
    world.deliver()
    assert record_of(world, alice)["avatar"] != THEIRS["avatar"]
    assert set_picture(client, alice).status_code == 200
    world.deliver()
    assert "avatar" not in record_of(world, alice)
    assert me(client, alice)[1] == "Theirs"


@ON_SQLITE
def test_what_is_no_picture_and_what_is_not_there_is_refused(client, alice):
    assert refusal(set_picture(client, alice)) == (404, "not_found")
    assert refusal(set_picture(client, alice, b"no picture")) == (415, "unsupported_media")
    assert refusal(client.put("/me/avatar", headers=alice.headers)) == (422, "unparsable")
    assert read(client, alice, "/me")["profile"] is None


@ON_SQLITE
def test_a_bio_stays_here_alone_where_no_login_may_write_a_profile(world, alice):
    with world.serve(offers=lambda collection: collection != COLLECTION) as limited:
        assert edit(limited, alice, bio="Here").status_code == 200
        assert me(limited, alice) == ("Alice", "Here")
        assert read(limited, None, f"/artists/{alice.did}")["bio"] == "Here"
        assert refusal(set_picture(limited, alice, samples.png())) == (501, "not_offered")
    world.deliver()
    assert record_of(world, alice) is None


@ON_SQLITE
def test_others_know_nothing_of_a_profile_s_history(client, alice, bob):
    edit(client, alice, bio="Ours")
    profile = read(client, alice, "/me")["profile"]
    for path in ("history", "mirror"):
        answer = client.get(f"/profiles/{profile['id']}/{path}", headers=bob.headers)
        assert refusal(answer) == (403, "not_owner")
