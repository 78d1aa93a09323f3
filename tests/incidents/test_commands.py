"""Requests that come twice, at once, or with more than a record can hold."""

from tests.api.world import refusal, upload
from tests.incidents.concurrently import at_once
from tests.media_samples import samples


def test_inc_33_two_edits_with_the_same_new_tag_are_both_kept(client, alice, bob):
    tracks = [(upload(client, person, seed=seed), person) for seed, person in enumerate((alice, bob, alice))]

    def retitles(track, person):
        body = {"title": f"Take {track['id']}", "tags": ["brand new"]}
        return lambda: client.patch(f"/tracks/{track['id']}", json=body, headers=person.headers)

    answers = at_once(*(retitles(*each) for each in tracks))

    assert [each.status_code for each in answers] == [200] * 3
    listed = client.get("/tracks?tag=brand new").json()["items"]
    assert {each["title"] for each in listed} == {f"Take {track['id']}" for track, _ in tracks}


def test_inc_35_a_double_click_is_one_change_and_a_stale_page_none(client, world, alice):
    key = {"Idempotency-Key": "one-click"}

    def uploads():
        files = {"file": ("song.mp3", samples.mp3(1), "audio/mpeg")}
        return client.post("/tracks", data={"title": "Song"}, files=files, headers={**alice.headers, **key})

    answers = at_once(*[uploads] * 4)

    refused = [each for each in answers if each.status_code != 201]
    assert {refusal(each) for each in refused} <= {(409, "in_progress")}  # the first is still at work
    track = uploads()
    assert track.status_code == 201
    assert {each.json()["id"] for each in answers if each.status_code == 201} == {track.json()["id"]}
    path = f"/tracks/{track.json()['id']}"

    def edits(title, **headers):
        return client.patch(path, json={"title": title}, headers={**alice.headers, **headers})

    assert edits("Second Thoughts", **key).is_success
    assert edits("Third Wind").is_success
    assert edits("Second Thoughts", **key).json()["title"] == "Second Thoughts"  # what was answered then
    stale = edits("Last Word", **{"If-Match": f'"{track.json()["version"]}"'})
    assert refusal(stale) == (412, "version_mismatch")
    assert client.get(path).json()["title"] == "Third Wind"
    assert world.events(track.json()["id"]) == ["Created", "MetadataUpdated", "MetadataUpdated"]


def test_inc_37_a_title_that_no_record_could_hold_is_refused_before_anything_is_written(client, world, alice):
    track = upload(client, alice)
    before = world.state()

    answer = client.patch(f"/tracks/{track['id']}", json={"title": "x" * 257}, headers=alice.headers)

    assert refusal(answer) == (400, "invalid_field")
    assert answer.json()["detail"]["field"] == "title"
    assert world.state() == before
    longest = client.patch(f"/tracks/{track['id']}", json={"title": "x" * 256}, headers=alice.headers)
    assert longest.status_code == 200
    world.deliver()
    assert world.record(track)["title"] == "x" * 256
