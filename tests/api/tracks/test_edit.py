"""Editing a track: JSON and forms alike, an empty value clears, an absent one stays."""

import pytest

from tests.api.tracks.patch import as_form, as_json, as_multipart
from tests.api.world import did_of, refusal, upload
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE

FULL = {
    "title": "Second",
    "album": "Album",
    "description": "Words",
    "tags": ["a", "b"],
    "features": ["bob.test"],
    "self_labels": ["porn"],
    "support_gate": {"type": "any"},
    "unlisted": True,
    "downloads": "supporters",
}


KINDS = ("MetadataUpdated", "SupportGateSet", "VisibilityChanged", "DownloadsChanged")
ways = pytest.mark.parametrize("edit", [as_json, as_multipart, as_form])


@ways
def test_every_field_is_taken_from_every_kind_of_body(client, alice, edit):
    track = upload(client, alice)
    edited = edit(client, alice, track, FULL).json()
    assert {name: edited[name] for name in FULL} == {
        **FULL,
        "features": [{"did": did_of("bob"), "handle": "bob.test"}],
    }
    assert edited["id"] == track["id"]
    assert edited["created_at"] == track["created_at"]


@ways
def test_an_empty_text_clears_and_an_absent_field_stays(client, alice, edit):
    track = upload(client, alice)
    edit(client, alice, track, FULL)
    empty = {name: "" for name in FULL if name not in {"title", "tags"}}
    edited = edit(client, alice, track, empty).json()
    assert (edited["title"], edited["tags"]) == ("Second", ["a", "b"])
    assert (edited["album"], edited["description"], edited["support_gate"]) == (None, None, None)
    assert (edited["features"], edited["self_labels"], edited["unlisted"]) == ([], [], False)
    assert edited["downloads"] == "open"


def test_null_clears_in_json(client, alice):
    track = upload(client, alice)
    as_json(client, alice, track, FULL)
    nulls = dict.fromkeys(["album", "description", "tags", "features", "self_labels", "unlisted"])
    edited = as_json(client, alice, track, nulls).json()
    assert (edited["album"], edited["description"], edited["unlisted"]) == (None, None, False)
    assert (edited["tags"], edited["features"], edited["self_labels"]) == ([], [], [])


def test_one_edit_of_many_kinds_is_one_request_in_the_history(client, alice):
    track = upload(client, alice)
    as_json(client, alice, track, FULL, **{"X-Request-Id": "abc-1"})
    page = client.get(f"/tracks/{track['id']}/history", headers=alice.headers).json()
    rows = [row for row in page["items"] if row["request_id"] == "abc-1"]
    assert {row["type"] for row in rows} == set(KINDS)
    assert {(row["actor"], row["via"]) for row in rows} == {(alice.did, "token:t")}


def test_the_artist_is_not_featured_on_their_own_track(client, alice):
    track = upload(client, alice, features=["alice.test", "bob.test"])
    assert [each["handle"] for each in track["features"]] == ["bob.test"]


def cover(client, person, track, image, **fields):
    files = {"image": ("c", image, "application/octet-stream")}
    return client.patch(f"/tracks/{track['id']}", files=files, data=fields, headers=person.headers)


def test_remove_image_wins_over_an_image(client, alice):
    track = upload(client, alice, image=samples.png())
    assert cover(client, alice, track, samples.jpeg(), remove_image="true").json()["image_url"] is None


def test_an_empty_image_clears_but_an_empty_file_input_of_a_browser_does_not(client, alice):
    track = upload(client, alice, image=samples.png())
    boundary = "b"
    empty_input = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename=""\r\n'
        f"Content-Type: application/octet-stream\r\n\r\n\r\n--{boundary}--\r\n"
    )
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    kept = client.patch(
        f"/tracks/{track['id']}", content=empty_input, headers={**alice.headers, **kind}
    ).json()
    assert kept["image_url"] == track["image_url"]
    assert as_form(client, alice, track, {"image": ""}).json()["image_url"] is None


def test_if_match_lets_through_only_the_version_it_names(client, world, alice):
    track = upload(client, alice)
    etag = client.get(f"/tracks/{track['id']}").headers["etag"]
    first = as_json(client, alice, track, {"title": "one"}, **{"If-Match": etag})
    assert first.status_code == 200
    before = world.state()
    second = as_json(client, alice, track, {"title": "two"}, **{"If-Match": etag})
    assert refusal(second) == (412, "version_mismatch")
    assert second.json()["detail"]["version"] == first.json()["version"]
    assert world.state() == before
    either = f'"99", {first.headers["etag"]}'
    assert as_json(client, alice, track, {"title": "two"}, **{"If-Match": either}).status_code == 200
    assert as_json(client, alice, track, {"title": "three"}, **{"If-Match": "*"}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "files"),
    [("PATCH", "", {"image": samples.png()}), ("PUT", "/audio", {"file": samples.mp3(2)})],
)
def test_what_is_meant_for_another_version_leaves_no_bytes(*, client, world, alice, method, path, files):
    track = upload(client, alice)
    before = world.state()
    headers = {**alice.headers, "If-Match": '"99"'}
    answer = client.request(method, f"/tracks/{track['id']}{path}", files=files, headers=headers)
    assert refusal(answer) == (412, "version_mismatch")
    assert world.state() == before


def test_a_tag_that_is_no_version_of_ours_matches_nothing(client, alice):
    track = upload(client, alice)
    for tag in ('W/"1"', '"x"', "nonsense", '""', '"99999999999999999999"'):
        answer = as_json(client, alice, track, {"title": "two"}, **{"If-Match": tag})
        assert refusal(answer) == (412, "version_mismatch"), tag


def test_what_the_relay_notes_does_not_change_the_version(client, world, alice):
    track = upload(client, alice)
    world.deliver()
    client.post(f"/tracks/{track['id']}/migrate-to-pds", headers={**alice.headers, "Prefer": "wait=0"})
    asked = client.get(f"/tracks/{track['id']}").headers["etag"]
    world.deliver()
    now = client.get(f"/tracks/{track['id']}")
    assert "BlobMigrated" in world.events(track["id"])
    assert now.headers["etag"] == asked


def test_after_any_edits_the_record_is_the_whole_track(client, world, alice):
    track = upload(client, alice, description="keep me", image=samples.png())
    world.deliver()
    for fields in ({"title": "2"}, {"album": "A"}, {"tags": ["t"]}, {"remove_image": True}):
        as_json(client, alice, track, fields)
        world.deliver()
    record = world.record(track)
    assert (record["title"], record["album"], record["description"]) == ("2", "A", "keep me")
    assert record["createdAt"] == track["created_at"]
    assert "imageUrl" not in record
