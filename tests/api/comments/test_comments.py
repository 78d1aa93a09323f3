"""An account comments on a track at a place of its audio, edits that and deletes it."""

from tests.api.likes.test_like import make_due, read
from tests.api.world import refusal, upload
from tests.servers.databases import ON_BOTH, ON_SQLITE

pytestmark = ON_SQLITE


def say(client, person, track, text="Yes!", timestamp_ms=1500, **headers):
    said = {"text": text, "timestamp_ms": timestamp_ms}
    path = f"/tracks/{track['id']}/comments"
    return client.post(path, json=said, headers={**person.headers, **headers})


def change(client, person, comment, method="PATCH", what="", **sent):
    path = f"/comments/{comment['id']}{what}"
    return client.request(method, path, headers=person.headers, **sent)


def shown(client, person, track):
    return read(client, person, f"/tracks/{track['id']}/comments")["items"]


def turn(client, person, on, track=None):
    path = "/me" if track is None else f"/tracks/{track['id']}"
    answer = client.patch(path, json={"comments": on}, headers=person.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["comments"]


def open_to_comments(client, world, person):
    """A track of the person's that is on the PDS, and on which people may comment."""
    turn(client, person, True)
    track = upload(client, person)
    world.deliver()
    return track


def types_of(client, person, comment):
    return [each["type"] for each in read(client, person, f"/comments/{comment['id']}/history")["items"]]


@ON_BOTH
def test_a_comment_is_written_to_its_author_s_pds_and_names_the_track_s_record(client, world, bob, track):
    answer = say(client, bob, track)
    comment = answer.json()
    assert (answer.status_code, comment["did"], comment["track_id"]) == (201, bob.did, track["id"])
    assert (comment["mirror"]["state"], comment["cid"], comment["edited_at"]) == ("pending", None, None)
    assert answer.headers["etag"] == f'"{comment["version"]}"'

    world.deliver()

    record = world.pds.records[comment["uri"]]
    track_now = read(client, None, f"/tracks/{track['id']}")
    assert record["subject"] == {
        "uri": track_now["atproto_record_uri"],
        "cid": track_now["atproto_record_cid"],
    }
    said = {"text": "Yes!", "timestampMs": 1500, "createdAt": comment["created_at"]}
    assert {name: record[name] for name in said} == said
    assert "updatedAt" not in record
    mirror = read(client, bob, f"/comments/{comment['id']}/mirror")
    assert (mirror["state"], mirror["comment_id"]) == ("delivered", comment["id"])


def test_an_edit_keeps_the_version_of_the_track_and_what_others_have_written(
    client, world, alice, bob, track
):
    comment = say(client, bob, track).json()
    world.deliver()
    before = world.pds.records[comment["uri"]] | {"mood": "blue"}
    world.pds.records[comment["uri"]] = before
    client.patch(f"/tracks/{track['id']}", json={"title": "Other"}, headers=alice.headers)
    world.deliver()

    answer = change(client, bob, comment, json={"text": "No!"})
    world.deliver()

    after = world.pds.records[comment["uri"]]
    assert (answer.status_code, answer.json()["text"], answer.json()["timestamp_ms"]) == (200, "No!", 1500)
    assert (after["text"], after["timestampMs"], after["subject"]) == ("No!", 1500, before["subject"])
    assert after["mood"] == "blue"
    assert after["updatedAt"].endswith("Z")
    assert change(client, bob, comment, json={"text": "No!"}).json()["version"] == answer.json()["version"]
    stale = {**bob.headers, "If-Match": f'"{comment["version"]}"'}
    path = f"/comments/{comment['id']}"
    assert refusal(client.patch(path, json={"text": "x"}, headers=stale)) == (412, "version_mismatch")

    assert change(client, bob, comment, "DELETE").status_code == 200
    world.deliver()
    assert comment["uri"] not in world.pds.records
    assert types_of(client, bob, comment) == ["Deleted", "Edited", "Created"]
    assert refusal(change(client, bob, comment, json={"text": "x"})) == (404, "comment_not_found")


def test_a_comment_waits_for_the_record_of_its_track_and_is_written_then(client, world, alice, bob):
    turn(client, alice, True)
    track = upload(client, alice)
    comment = say(client, bob, track).json()
    assert (comment["mirror"]["state"], comment["mirror"]["reason"]) == ("pending", "subject")
    world.carry()
    assert change(client, bob, comment, json={"text": "Later"}).json()["mirror"]["reason"] == "subject"
    assert change(client, bob, comment, "POST", "/restore-record").json()["mirror"]["reason"] == "subject"
    world.deliver()
    assert comment["uri"] not in world.pds.records
    make_due(world)
    world.carry()
    world.deliver()
    record = world.pds.records[comment["uri"]]
    cid = read(client, None, f"/tracks/{track['id']}")["atproto_record_cid"]
    assert (record["subject"]["cid"], record["text"]) == (cid, "Later")
    assert types_of(client, bob, comment) == ["SubjectKnown", "Edited", "Created"]


def test_comments_are_off_until_an_artist_turns_them_on_and_a_track_s_own_value_goes_first(
    client, alice, bob
):
    track, other = upload(client, alice), upload(client, alice, seed=2)
    assert refusal(say(client, bob, track)) == (403, "comments_off")
    assert turn(client, alice, True, track)
    assert say(client, bob, track).status_code == 201
    assert refusal(say(client, bob, other)) == (403, "comments_off")

    assert turn(client, alice, True)
    assert turn(client, alice, False, track) is False
    assert refusal(say(client, bob, track)) == (403, "comments_off")
    assert say(client, bob, other).status_code == 201

    assert turn(client, alice, "", track)
    assert say(client, bob, track).status_code == 201
    assert turn(client, alice, False) is False
    assert refusal(say(client, bob, track)) == (403, "comments_off")


def test_a_revert_sets_back_whether_people_may_comment(client, alice, track):
    turn(client, alice, False, track)
    sent = {"to_version": 1, "fields": ["comments"]}
    answer = client.post(f"/tracks/{track['id']}/revert", json=sent, headers=alice.headers)
    assert answer.json()["comments"] is True


@ON_BOTH
def test_an_account_has_at_most_20_comments_at_a_track(client, alice, bob, track):
    made = [say(client, bob, track, text=f"{number}").json() for number in range(20)]
    answer = say(client, bob, track)
    assert (refusal(answer), answer.json()["detail"]["limit"]) == ((409, "too_many_comments"), 20)
    assert say(client, alice, track).status_code == 201
    change(client, bob, made[0], "DELETE")
    assert say(client, bob, track).status_code == 201
    assert refusal(say(client, bob, track)) == (409, "too_many_comments")


def test_what_no_comment_can_have_is_refused(client, bob, track):
    texts = [{"text": text} for text in ("", "\u200b", "ä" * 501, "a\0b")]
    times = [{"timestamp_ms": time} for time in (-1, 2**31, 1.5, True)]
    for said in (*texts, *times):
        answer = say(client, bob, track, **said)
        assert (refusal(answer), answer.json()["detail"]["field"]) == ((400, "invalid_field"), *said)


def test_what_is_gone_has_no_comments(client, alice, bob, track):
    comment = say(client, bob, track).json()
    client.delete(f"/tracks/{track['id']}", headers=alice.headers)
    assert refusal(say(client, bob, track)) == (404, "track_not_found")
    assert refusal(client.get(f"/tracks/{track['id']}/comments")) == (404, "track_not_found")
    assert change(client, bob, comment, "DELETE").status_code == 200


def test_comments_are_not_offered_where_no_login_allows_them(world, bob, track):
    with world.serve(offers=lambda collection: collection != "fm.plyr.comment") as limited:
        assert refusal(say(limited, bob, track)) == (501, "not_offered")
