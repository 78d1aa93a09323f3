"""What keeps a release from being published is named before, file by file."""

from sqlalchemy import select

from application.releases import uploads
from storage.uploads.staged_uploads import ENDED, UPLOAD_TTL, release_upload
from tests.api.releases.test_publish import as_track, publish, release  # noqa: F401 - a fixture
from tests.api.releases.uploads import age, append, begun, draft, read, tagged
from tests.api.world import refusal
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


def test_what_is_not_whole_or_is_refused_is_named_before_anything_is_published(client, alice, release):  # noqa: F811
    append(client, alice, begun(client, alice, release, name="notes.txt"), b"no audio", 0, last=True)
    begun(client, alice, release, name="open.mp3")
    answer = publish(client, alice, release)
    assert refusal(answer) == (409, "not_ready_to_publish")
    files = answer.json()["detail"]["files"]
    assert [(file["name"], file["reason"] is None) for file in files] == [
        ("notes.txt", False),
        ("open.mp3", True),
    ]
    assert refusal(publish(client, alice, draft(client, alice))) == (409, "not_ready_to_publish")


def test_an_upload_that_has_ended_is_named_until_its_file_comes_again_or_is_removed(
    world,
    client,
    alice,
    release,  # noqa: F811
):
    ended = {"name": "open.mp3", "reason": ENDED}
    begun(client, alice, release, name="open.mp3")
    url = begun(client, alice, release, name="open.mp3", length=5)
    for each in world.scalars(select(release_upload.c.upload_id)):
        age(world, each, UPLOAD_TTL)
    (*_, first, second) = read(client, alice, release)["files"]
    assert (second["state"], second["reason"]) == ("refused", ENDED)
    answer = publish(client, alice, release)
    assert refusal(answer) == (409, "not_ready_to_publish")
    files = answer.json()["detail"]["files"]
    assert [{name: file[name] for name in ended} for file in files] == [ended] * 2
    assert client.delete(url, headers=alice.headers).status_code == 204
    again = begun(client, alice, release, name="open.mp3")
    assert again.rpartition("/")[2] not in (first["upload_id"], second["upload_id"])
    append(client, alice, again, tagged(9, title="Song 4", number="4"), 0, last=True)
    assert publish(client, alice, release).status_code == 200


def test_a_whole_file_comes_in_place_of_its_ended_upload_where_no_more_files_fit(
    world,
    client,
    alice,
    release,  # noqa: F811
    monkeypatch,
):
    data = tagged(9, title="Song 4", number="4")
    age(world, begun(client, alice, release, name="open.mp3", length=len(data)), UPLOAD_TTL)
    monkeypatch.setattr(uploads, "MAX_FILES", 4)
    sent = {"files": {"file": ("open.mp3", data)}, "headers": alice.headers}
    assert client.post(f"/releases/{release['id']}/uploads", **sent).status_code == 201
    assert [file["state"] for file in read(client, alice, release)["files"]] == ["complete"] * 4


def test_what_would_keep_a_release_from_being_published_is_said_before(client, alice, release):  # noqa: F811
    made = read(client, alice, release)
    assert (made["title_taken_by"], {file["reason"] for file in made["files"]}) == (None, {None})
    album = client.post("/albums", json={"title": "Pressings"}, headers=alice.headers).json()
    track = as_track(client, alice, tagged(1, title="Song 1", number="1"))
    made = read(client, alice, release)
    assert made["title_taken_by"] == album["id"]
    said = [f"your track {track['id']} has exactly this audio", None, None]
    assert [file["reason"] for file in made["files"]] == said
    changed = client.patch(f"/releases/{release['id']}", json={"title": "Other"}, headers=alice.headers)
    assert changed.json()["title_taken_by"] is None
