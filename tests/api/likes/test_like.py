"""An account likes a track of anybody, and takes that back."""

from tests.api.tracks.takedown import decide
from tests.api.world import refusal, upload
from tests.servers.databases import ON_BOTH, ON_SQLITE

pytestmark = ON_SQLITE


def like(client, person, track, method="PUT", **headers):
    path = f"/tracks/{track['id']}/like"
    return client.request(method, path, headers={**person.headers, **headers})


def read(client, person, path):
    answer = client.get(path, headers=person.headers if person else {})
    assert answer.status_code == 200, answer.text
    return answer.json()


def seen(client, person, track):
    body = read(client, person, f"/tracks/{track['id']}")
    return body["is_liked"], body["like_count"], body["comment_count"]


def types_of(client, person, liked):
    return [each["type"] for each in read(client, person, f"/likes/{liked['id']}/history")["items"]]


def make_due(world):
    with world.database.write() as connection:
        connection.exec_driver_sql("update job set due = '2000-01-01 00:00:00.000000'")


@ON_BOTH
def test_a_like_is_written_to_its_account_s_pds_and_names_the_track_s_record(client, world, alice, bob):
    track = upload(client, alice)
    world.deliver()
    answer = like(client, bob, track)
    liked = answer.json()
    assert (answer.status_code, liked["did"], liked["track_id"]) == (200, bob.did, track["id"])
    assert (liked["mirror"]["state"], liked["cid"]) == ("pending", None)

    world.deliver()

    [mine] = read(client, bob, "/me/likes")["items"]
    subject = world.pds.records[liked["uri"]]["subject"]
    track_now = read(client, None, f"/tracks/{track['id']}")
    assert subject == {"uri": track_now["atproto_record_uri"], "cid": track_now["atproto_record_cid"]}
    assert (mine["track_id"], {"uri": mine["track_uri"], "cid": mine["track_cid"]}) == (track["id"], subject)
    mirror = read(client, bob, f"/likes/{liked['id']}/mirror")
    assert (mirror["state"], mirror["like_id"]) == ("delivered", liked["id"])


def test_a_second_like_changes_nothing_and_a_third_after_an_unlike_has_the_same_key(client, alice, bob):
    track = upload(client, alice)
    first = like(client, bob, track).json()
    assert like(client, bob, track).json() == first
    for _ in range(2):
        assert like(client, bob, track, "DELETE").status_code == 200
        assert read(client, bob, "/me/likes")["items"] == []
    again = like(client, bob, track).json()
    assert (again["id"], again["uri"], again["created_at"]) == (
        first["id"],
        first["uri"],
        first["created_at"],
    )
    assert types_of(client, bob, first) == ["Undeleted", "Deleted", "Created"]


@ON_BOTH
def test_is_liked_is_true_at_once_and_the_count_follows_once(client, world, alice, bob):
    track = upload(client, alice)
    like(client, bob, track)
    assert [seen(client, who, track) for who in (bob, alice, None)] == [
        (True, 0, 0),
        (False, 0, 0),
        (False, 0, 0),
    ]
    for _ in range(2):
        world.carry()
    like(client, alice, track)
    world.carry()
    assert [seen(client, who, track) for who in (bob, alice, None)] == [
        (True, 2, 0),
        (True, 2, 0),
        (False, 2, 0),
    ]
    page = read(client, None, f"/tracks/{track['id']}/likes?limit=1")
    assert [(each["did"], each["handle"]) for each in page["items"]] == [(alice.did, "alice.test")]
    page = read(client, None, f"/tracks/{track['id']}/likes?cursor={page['cursor']}")
    assert [each["did"] for each in page["items"]] == [bob.did]
    like(client, bob, track, "DELETE")
    world.carry()
    assert seen(client, bob, track) == (False, 1, 0)


@ON_BOTH
def test_a_like_waits_for_the_record_of_its_track_and_is_written_then(client, world, alice, bob):
    track = upload(client, alice)
    liked = like(client, bob, track).json()
    assert (liked["mirror"]["state"], liked["mirror"]["reason"]) == ("pending", "subject")
    for _ in range(60):  # a pause that doubled each time would be longer than a time can be
        make_due(world)
        world.carry()
    with world.database.read() as connection:
        assert not connection.exec_driver_sql("select 1 from job where failing_since is not null").all()
    assert like(client, bob, track, "DELETE").status_code == 200
    assert like(client, bob, track).json()["mirror"]["reason"] == "subject"

    world.deliver()
    assert liked["uri"] not in world.pds.records
    make_due(world)
    world.carry()
    world.deliver()

    subject = world.pds.records[liked["uri"]]["subject"]
    assert subject["cid"] == read(client, None, f"/tracks/{track['id']}")["atproto_record_cid"]
    assert types_of(client, bob, liked) == ["SubjectKnown", "Undeleted", "Deleted", "Created"]


def test_a_like_of_a_deleted_track_waits_for_its_undelete_and_looks_for_nothing(client, world, alice, bob):
    track = upload(client, alice)
    liked = like(client, bob, track).json()
    client.delete(f"/tracks/{track['id']}", headers=alice.headers)
    world.carry()
    with world.database.read() as connection:
        assert not connection.exec_driver_sql("select 1 from job where kind = 'reaction'").all()
    client.post(f"/tracks/{track['id']}/undelete", headers=alice.headers)
    for _ in range(3):
        world.deliver()
        make_due(world)
        world.carry()
    world.deliver()
    assert liked["uri"] in world.pds.records
    assert types_of(client, bob, liked) == ["SubjectKnown", "Created"]


def test_an_edit_of_the_track_leaves_the_like_as_it_was(client, world, alice, bob):
    track = upload(client, alice)
    world.deliver()
    liked = like(client, bob, track).json()
    world.deliver()
    before = world.pds.records[liked["uri"]]
    client.patch(f"/tracks/{track['id']}", json={"title": "Other"}, headers=alice.headers)
    like(client, bob, track, "DELETE")
    world.deliver()
    assert liked["uri"] not in world.pds.records
    like(client, bob, track)
    world.deliver()
    after = world.pds.records[liked["uri"]]
    assert after["subject"] == before["subject"]


def test_what_is_gone_cannot_be_liked_and_what_is_not_liked_not_unliked(client, alice, bob):
    track = upload(client, alice)
    assert refusal(like(client, bob, track, "DELETE")) == (404, "not_found")
    liked = like(client, bob, track).json()
    client.delete(f"/tracks/{track['id']}", headers=alice.headers)
    assert refusal(like(client, bob, track)) == (404, "track_not_found")
    assert refusal(like(client, bob, {"id": 7})) == (404, "track_not_found")
    assert like(client, bob, track, "DELETE").status_code == 200
    assert refusal(client.get("/likes/7/history", headers=bob.headers)) == (404, "not_found")
    history = client.get(f"/likes/{liked['id']}/history", headers=alice.headers)
    assert refusal(history) == (404, "not_found")


def test_what_is_taken_down_cannot_be_liked(client, alice, bob, admin):
    track = upload(client, alice)
    like(client, bob, track)
    decide(client, admin, track)
    assert refusal(like(client, bob, track)) == (404, "track_not_found")
    assert like(client, bob, track, "DELETE").status_code == 200


def test_likes_are_not_offered_where_no_login_allows_them(client, world, alice):
    track = upload(client, alice)
    with world.serve(offers=lambda collection: collection != "fm.plyr.like") as limited:
        assert refusal(like(limited, alice, track)) == (501, "not_offered")
        assert refusal(like(limited, alice, track, "DELETE")) == (404, "not_found")
