"""A taken-down track: who still sees it, and its record, deletion and return."""

import pytest

from aggregates.tracks.track import Track
from api.middleware.http_layer import over_http
from api.pipeline import media_request
from application.operators import Takedown, decide_takedown
from outbox.operations.operators import Operator
from projections.rebuild.rebuild import rebuild
from storage.media import Media
from tests.api.tracks.takedown import decide
from tests.api.world import refusal, replace_audio, upload
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


@pytest.fixture
def track(world, client, alice):
    made = upload(client, alice, image=samples.png())
    world.deliver()
    return made


def read(client, track, person=None):
    return client.get(f"/tracks/{track['id']}", headers=person.headers if person else {})


def fetch(client, url, person=None):
    return client.get(url.split("8000", 1)[1], headers=person.headers if person else {})


def listed(client, person=None, **wanted):
    items = client.get("/tracks", params=wanted, headers=person.headers if person else {}).json()["items"]
    return [each["id"] for each in items]


def told(client, person, **wanted):
    rows = client.get("/audit", params=wanted, headers=person.headers).json()["items"]
    return [
        (row["did"], row["type"], row["actor"], {each["field"]: each["after"] for each in row["changes"]})
        for row in rows
    ]


def test_it_is_there_for_its_owner_and_operators_alone(client, alice, bob, admin, track):
    assert decide(client, admin, track).json()["affected"] == 1
    for person in (None, bob):
        assert refusal(read(client, track, person)) == (404, "track_not_found")
        assert listed(client, person) == []
    for path in ("history", "mirror", "diff?from=1"):
        answer = client.get(f"/tracks/{track['id']}/{path}", headers=bob.headers)
        assert refusal(answer) == (404, "track_not_found")
    answer = client.patch(f"/tracks/{track['id']}", json={"title": "x"}, headers=bob.headers)
    assert refusal(answer) == (404, "track_not_found")
    for person in (alice, admin):
        assert read(client, track, person).json()["taken_down_at"] is not None
    assert (listed(client, alice), listed(client, admin)) == ([track["id"]], [])


def test_its_bytes_are_for_admins_alone(client, alice, bob, admin, track):
    cover = f"http://127.0.0.1:8000/tracks/{track['id']}/artwork"
    assert fetch(client, cover, bob).status_code == 200
    for url in (track["audio_url"], track["image_url"], track["thumbnail_url"]):
        answer = fetch(client, url, bob)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "public, max-age=300")
        assert answer.headers["etag"]
    decide(client, admin, track)
    for url in (track["audio_url"], track["image_url"], track["thumbnail_url"]):
        for person in (None, alice, bob):
            assert refusal(fetch(client, url, person)) == (404, "media_not_found")
        answer = fetch(client, url, admin)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "private, no-cache")
    for person, status in ((None, 404), (alice, 404), (bob, 404), (admin, 200)):
        assert fetch(client, cover, person).status_code == status


def test_an_operator_reads_what_it_is_and_gets_no_bytes(client, admin, operator, track):
    decide(client, admin, track)
    shown = read(client, track, operator)
    assert (shown.status_code, shown.json()["title"]) == (200, track["title"])
    assert shown.json()["taken_down_at"] is not None
    assert listed(client, operator) == []
    for url in (track["audio_url"], track["image_url"], track["thumbnail_url"]):
        assert refusal(fetch(client, url, operator)) == (404, "media_not_found")


def test_others_who_have_the_same_bytes_keep_theirs_unless_the_bytes_are_taken_down_too(
    client, bob, admin, track
):
    other = upload(client, bob)
    assert other["file_id"] == track["file_id"]
    decide(client, admin, track)
    assert fetch(client, other["audio_url"]).status_code == 200
    assert fetch(client, track["image_url"]).status_code == 404
    decide(client, admin, track, bytes=True)
    assert fetch(client, other["audio_url"]).status_code == 404
    assert client.get(f"/tracks/{other['id']}").status_code == 200


def test_the_record_is_left_alone_and_edits_go_on_to_reach_it(world, client, alice, admin, track):
    before = world.record(track)
    decide(client, admin, track)
    world.deliver()
    assert world.record(track) == before
    answer = client.patch(f"/tracks/{track['id']}", json={"title": "Second"}, headers=alice.headers)
    assert (answer.status_code, answer.json()["title"]) == (200, "Second")
    world.deliver()
    assert world.record(track)["title"] == "Second"
    assert read(client, track).status_code == 404


def test_its_owner_deletes_it_and_neither_undelete_nor_revert_bring_it_back(
    world, client, alice, admin, track
):
    decide(client, admin, track)
    assert client.delete(f"/tracks/{track['id']}", headers=alice.headers).status_code == 200
    world.deliver()
    assert world.record(track) is None
    back = client.post(f"/tracks/{track['id']}/undelete", headers=alice.headers).json()
    assert back["taken_down_at"] is not None
    client.post(f"/tracks/{track['id']}/revert", json={"to_version": 1}, headers=alice.headers)
    assert read(client, track).status_code == 404
    assert read(client, track, alice).json()["taken_down_at"] is not None


def test_a_deleted_one_stays_down_when_it_comes_back(client, alice, admin, track):
    client.delete(f"/tracks/{track['id']}", headers=alice.headers)
    assert decide(client, admin, track).json()["affected"] == 1
    client.post(f"/tracks/{track['id']}/undelete", headers=alice.headers)
    assert read(client, track).status_code == 404


def test_lifting_a_takedown_restores_all_access(client, admin, track):
    decide(client, admin, track)
    answer = decide(client, admin, track, lift=True, reason="withdrawn").json()
    assert (answer["affected"], answer["taken_down_at"]) == (1, None)
    assert read(client, track).json()["taken_down_at"] is None
    assert listed(client) == [track["id"]]
    assert fetch(client, track["audio_url"]).status_code == 200


def test_owner_and_operator_both_read_who_did_it_and_why(client, alice, admin, track):
    version = read(client, track, alice).headers["etag"]
    decide(client, admin, track)
    assert read(client, track, alice).headers["etag"] != version
    assert decide(client, admin, track).json()["affected"] == 0
    decide(client, admin, track, lift=True, reason="withdrawn")
    down, lifted = told(client, alice, type="TakenDown"), told(client, alice, type="TakedownLifted")
    assert [(row[0], row[2]) for row in (*down, *lifted)] == [(alice.did, admin.did)] * 2
    assert down[0][3]["takedown_reason"] == "a claim"
    which = {"did": alice.did, "track_id": track["id"]}
    assert told(client, admin, did=admin.did, type="OperatorActed") == [
        (admin.did, "OperatorActed", admin.did, {"action": action, "filter": which, "affected": n, "reason": why})
        for action, n, why in (("lift_takedown", 1, "withdrawn"), ("takedown", 0, "a claim"), ("takedown", 1, "a claim"))
    ]  # fmt: skip


def test_a_takedown_says_why(client, admin, track):
    for reason in ("", "\0", None):
        answer = decide(client, admin, track, reason=reason)
        assert refusal(answer) == (400, "invalid_field")
        assert answer.json()["detail"]["field"] == "reason"
        assert answer.json()["detail"]["limit"]


def test_a_track_that_is_not_there_is_not_taken_down(client, admin):
    assert refusal(decide(client, admin, {"id": 99})) == (404, "track_not_found")


def set_cover(client, person, track):
    files = {"image": ("cover.png", samples.png(), "image/png")}
    return client.patch(f"/tracks/{track['id']}", files=files, headers=person.headers)


def uploads(client, person, seed, **files):
    files = {"file": ("song.mp3", samples.mp3(seed), "audio/mpeg"), **files}
    return client.post("/tracks", data={"title": "Again"}, files=files, headers=person.headers)


def command(client, person, track, name, **body):
    return client.post(f"/tracks/{track['id']}/{name}", json=body, headers=person.headers)


REFUSED = (409, "taken_down")


def test_bytes_that_were_taken_down_are_refused_to_all_whatever_brings_them(
    *, world, client, alice, bob, admin, track
):
    deleted, replaced = upload(client, bob), upload(client, alice, seed=2)
    client.delete(f"/tracks/{deleted['id']}", headers=bob.headers)
    other = upload(client, bob, seed=3, image=samples.png())
    client.patch(f"/tracks/{other['id']}", json={"remove_image": True}, headers=bob.headers)
    client.delete(f"/tracks/{track['id']}", headers=alice.headers)
    replace_audio(client, alice, replaced, 1)
    replace_audio(client, alice, replaced, 2)
    assert decide(client, admin, track, bytes=True).json()["affected"] == 1
    before = world.state()
    cover = ("cover.png", samples.png(), "image/png")
    for answer in (
        uploads(client, alice, 1),
        uploads(client, bob, 1),
        uploads(client, bob, 4, image=cover),
        replace_audio(client, bob, other, 1),
        set_cover(client, bob, other),
        command(client, bob, deleted, "undelete"),
        command(client, alice, track, "undelete"),
        command(client, alice, replaced, "revert", to_version=2),
        command(client, bob, other, "revert", to_version=1),
    ):
        assert refusal(answer) == REFUSED
    assert world.state() == before
    assert fetch(client, track["audio_url"]).status_code == 404
    assert uploads(client, bob, 4).status_code == 201


def test_bytes_that_are_taken_down_once_a_command_has_reserved_them_are_not_served(
    *, world, client, alice, bob, admin, track, monkeypatch
):
    other, reserve = upload(client, bob, seed=3), Media.reserve
    takedown = Takedown(Track, track["id"], owner=alice.did, reason="a claim", with_bytes=True)

    def taken_down_meanwhile(media, cids):
        reserved_at = reserve(media, cids)
        decide_takedown(world.log, takedown, Operator(over_http(admin.did), "a claim"))
        return reserved_at

    monkeypatch.setattr(Media, "reserve", taken_down_meanwhile)
    cover = set_cover(client, bob, other).json()["image_url"]
    assert [fetch(client, cover, person).status_code for person in (bob, admin)] == [404, 200]


def test_bytes_are_taken_down_after_the_track_and_lifting_that_lets_them_in_again(
    client, alice, bob, admin, track
):
    decide(client, admin, track)
    assert upload(client, bob)["file_id"] == track["file_id"]
    counted = [
        decide(client, admin, track, bytes=True, dry_run=dry).json()["affected"]
        for dry in (True, False, True)
    ]
    assert counted == [1, 1, 0]
    assert refusal(uploads(client, alice, 1)) == REFUSED
    decide(client, admin, track, lift=True)
    assert replace_audio(client, alice, upload(client, alice, seed=2), 3).status_code == 200
    assert decide(client, admin, track, lift=True).json()["affected"] == 0
    client.delete(f"/tracks/{track['id']}", headers=alice.headers)
    assert uploads(client, alice, 1).status_code == 201


def test_bytes_that_two_takedowns_refuse_are_refused_until_both_are_lifted(client, bob, admin, track):
    other = upload(client, bob)
    for each in (track, other):
        decide(client, admin, each, bytes=True)
    decide(client, admin, other, lift=True)
    newcomer = upload(client, bob, seed=2)
    assert refusal(replace_audio(client, bob, newcomer, 1)) == REFUSED
    assert set_cover(client, bob, newcomer).status_code == 409
    decide(client, admin, track, lift=True)
    assert set_cover(client, bob, newcomer).status_code == 200


def test_bytes_stay_refused_after_their_owner_has_replaced_them_and_after_a_rebuild(
    *, world, client, alice, bob, admin, track
):
    decide(client, admin, track, bytes=True)
    replace_audio(client, alice, track, 2)
    rebuild(world.log, world.log.projections)
    assert refusal(replace_audio(client, alice, track, 1)) == REFUSED
    assert refusal(uploads(client, bob, 1)) == REFUSED
    assert uploads(client, bob, 2).status_code == 201


def test_a_stream_of_bytes_that_are_taken_down_meanwhile_is_broken_off(
    client, alice, admin, track, monkeypatch
):
    whole = fetch(client, track["audio_url"], alice).content
    monkeypatch.setattr(media_request, "PART_BYTES", 16)
    monkeypatch.setattr(media_request, "taken_down", lambda _connection, cids: set(cids))
    assert len(fetch(client, track["audio_url"], alice).content) < len(whole)
    assert fetch(client, track["audio_url"], admin).content == whole
