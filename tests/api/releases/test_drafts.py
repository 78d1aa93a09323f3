"""Releases over HTTP before anything of them is published: begun, edited, ordered, listed, deleted, left."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from application.releases import drafts
from application.releases.drafts import expire_drafts
from eventstore.idempotency import idempotency
from eventstore.sql.schema import stored_event
from projections.media_references import cids_of
from projections.rebuild.rebuild import differences
from projections.releases import releases
from service.schema.tables import READ_MODELS
from storage.uploads.staged_uploads import release_upload
from tests.api.account_deletion.deletion import leave, rows
from tests.api.releases.uploads import append, begun, draft, read, tagged, uploaded
from tests.api.world import refusal
from tests.media_samples import samples
from tests.servers.databases import ON_BOTH, ON_SQLITE
from tests.service.process.periodic import continue_account_deletions

pytestmark = ON_SQLITE
SONG = samples.mp3(1)
FIELDS = {
    "title": "Pressings",
    "description": "Words",
    "release_date": "2026-11-30",
    "tags": ["ambient"],
    "unlisted": True,
    "downloads": "ask",
    "support_gate": {"type": "any"},
    "copy_audio": True,
}


@pytest.fixture
def release(client, alice):
    return draft(client, alice, **FIELDS)


def patch(client, person, release, headers=None, **fields):
    url = f"/releases/{release['id']}"
    return client.patch(url, json=fields, headers={**person.headers, **(headers or {})})


@ON_BOTH
def test_a_release_is_begun_read_and_listed(client, alice, release):
    answer = client.get(f"/releases/{release['id']}", headers=alice.headers)
    assert answer.json() == release
    assert answer.headers["ETag"] == f'"{release["version"]}"'
    assert {name: release[name] for name in FIELDS} == FIELDS
    assert (release["files"], release["file_count"], release["has_image"]) == ([], 0, False)
    other = draft(client, alice)
    page = client.get("/releases?limit=1", headers=alice.headers).json()
    assert [each["id"] for each in page["items"]] == [other["id"]]
    page = client.get(f"/releases?cursor={page['cursor']}", headers=alice.headers).json()
    assert ([each["id"] for each in page["items"]], page["cursor"]) == ([release["id"]], None)


def test_given_fields_are_changed_and_empty_ones_cleared(client, alice, release):
    answer = patch(client, alice, release, title="", tags=[], support_gate=None, downloads="")
    changed = {"title": None, "tags": [], "support_gate": None, "downloads": "open"}
    assert {name: answer.json()[name] for name in FIELDS} == {**FIELDS, **changed}
    assert answer.json()["version"] == release["version"] + 1


def test_a_cover_is_set_and_removed(world, client, alice, release):
    url = f"/releases/{release['id']}"
    answer = client.patch(url, files={"image": samples.png()}, headers=alice.headers)
    assert answer.json()["has_image"] is True
    with world.database.read() as connection:
        assert len(cids_of(connection, alice.did)) == 2  # with its thumbnail
    assert patch(client, alice, release, remove_image=True).json()["has_image"] is False


def test_an_edit_or_an_order_of_another_version_is_refused(client, alice, release):
    assert patch(client, alice, release, {"If-Match": '"1"'}, title="A").status_code == 200
    assert refusal(patch(client, alice, release, {"If-Match": '"1"'}, title="B")) == (412, "version_mismatch")
    file, url = uploaded(client, alice, release, SONG), f"/releases/{release['id']}/tracks"
    wanted = {"tracks": [{"upload_id": file["upload_id"], "title": "B"}]}
    current = {**alice.headers, "If-Match": f'"{read(client, alice, release)["version"]}"'}
    answers = [client.put(url, json=wanted, headers=current) for _ in range(2)]
    assert answers[0].status_code == 200
    assert refusal(answers[1]) == (412, "version_mismatch")


def test_a_field_that_no_record_could_hold_is_refused(client, alice, release):
    wrong = {"title": "x" * 65, "release_date": "tomorrow", "downloads": "never", "tags": ["x" * 51]}
    for field, value in wrong.items():
        answer = patch(client, alice, release, **{field: value})
        assert (refusal(answer), answer.json()["detail"]["field"]) == ((400, "invalid_field"), field)


def test_the_files_are_ordered_and_have_fields_of_their_own(client, alice, release):
    one, two = (uploaded(client, alice, release, samples.mp3(n), name=f"{n}.mp3") for n in (1, 2))
    url = f"/releases/{release['id']}/tracks"
    tracks = [
        {"upload_id": two["upload_id"], "title": "Second"},
        {"upload_id": one["upload_id"], "tags": ["a"]},
    ]
    answer = client.put(url, json={"tracks": tracks}, headers=alice.headers)
    assert [(each["title"], each["tags"]) for each in answer.json()["files"]] == [
        ("Second", None),
        ("1", ["a"]),
    ]
    for wrong in (tracks[:1], tracks + tracks[:1], [{"upload_id": "x"}, tracks[0]], [{"title": "x"}]):
        answer = client.put(url, json={"tracks": wrong}, headers=alice.headers)
        assert (refusal(answer), answer.json()["detail"]["field"]) == ((400, "invalid_field"), "tracks")


def test_a_word_of_long_notes_is_a_small_entry_of_the_audit_that_shows_it(client, alice, release):
    one = uploaded(client, alice, release, samples.mp3(1), name="1.mp3")
    for word in ("old", "new"):
        notes = {"upload_id": one["upload_id"], "description": f"{'see ' * 500}{word}{' notes' * 300}"}
        url = f"/releases/{release['id']}/tracks"
        answer = client.put(url, json={"tracks": [notes]}, headers=alice.headers)
    assert answer.json()["files"][0]["description"] == notes["description"]
    [change] = client.get("/audit", headers=alice.headers).json()["items"][0]["changes"]
    assert (change["before"][0]["description"], change["after"][0]["description"]) == ("…old…", "…new…")


def test_an_account_has_a_limit_of_releases(client, alice, release, monkeypatch):
    monkeypatch.setattr(drafts, "MAX_RELEASES", 1)
    answer = client.post("/releases", json={}, headers=alice.headers)
    assert refusal(answer) == (409, "limit_reached")
    client.delete(f"/releases/{release['id']}", headers=alice.headers)
    draft(client, alice)


def test_a_release_is_its_owners_alone(client, bob, admin, release):
    for person in (bob, admin):
        assert refusal(client.get(f"/releases/{release['id']}", headers=person.headers)) == (404, "not_found")
        assert refusal(patch(client, person, release, title="x")) == (404, "not_found")
    assert client.get("/releases", headers=bob.headers).json()["items"] == []


def test_a_deleted_release_is_gone_with_its_uploads(world, client, alice, release):
    uploaded(client, alice, release, samples.mp3(1))
    begun(client, alice, release)
    assert client.delete(f"/releases/{release['id']}", headers=alice.headers).status_code == 204
    assert refusal(client.get(f"/releases/{release['id']}", headers=alice.headers)) == (404, "not_found")
    assert rows(world, release_upload, alice.did) == []


@ON_BOTH
def test_a_draft_without_a_change_for_thirty_days_ends(world, client, alice, release, monkeypatch):
    uploaded(client, alice, release, SONG)
    assert expire_drafts(world.log) == 0
    world.execute(update(releases).values(changed_at=world.now() - timedelta(days=31)))
    assert expire_drafts(world.log) == 0  # its stream says otherwise
    monkeypatch.setattr(drafts, "DRAFT_TTL", timedelta(0))
    assert expire_drafts(world.log) == 1
    assert refusal(client.get(f"/releases/{release['id']}", headers=alice.headers)) == (404, "not_found")
    assert rows(world, release_upload, alice.did) == []


@ON_BOTH
def test_a_draft_with_an_upload_under_way_does_not_end(world, client, alice, release, monkeypatch):
    url = begun(client, alice, release)
    append(client, alice, url, SONG[:100], 0)
    monkeypatch.setattr(drafts, "DRAFT_TTL", timedelta(0))
    assert expire_drafts(world.log) == 0
    assert append(client, alice, url, SONG[100:], 100, last=True).status_code == 200
    append(client, alice, begun(client, alice, release), b"no audio", 0, last=True)
    assert expire_drafts(world.log) == 1


def test_the_audit_says_what_became_of_a_release_and_its_read_model_is_rebuilt(world, client, alice, release):
    uploaded(client, alice, release, tagged(1, title="One", cover=samples.png()), name="1.mp3")
    patch(client, alice, release, title="B")
    entries = client.get("/audit", headers=alice.headers).json()["items"]
    assert [(each["kind"], each["subject_id"], each["type"]) for each in entries] == [
        ("release", release["id"], name) for name in ("Edited", "FileAdded", "Created")
    ]
    own = {"name": "1.mp3", "title": "One", "description": None, "tags": None}
    assert entries[1]["changes"] == [{"field": "files", "before": [], "after": [own]}]
    assert differences(world.log, READ_MODELS) == []


@ON_BOTH
def test_releases_and_uploads_end_with_their_account(world, client, alice, release):
    uploaded(client, alice, release, samples.mp3(1))
    append(client, alice, begun(client, alice, release), b"some bytes", 0)
    leave(client, alice)
    assert refusal(client.post("/releases", json={}, headers=alice.headers)) == (409, "leaving")
    continue_account_deletions(world.made)
    assert rows(world, release_upload, alice.did) == []
    assert [row.deleted_at is not None for row in rows(world, releases, alice.did)] == [True]


def preview(client, person, release, method="post", **headers):
    answer = getattr(client, method)(
        f"/releases/{release['id']}/preview", headers={**person.headers, **headers}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_secret_link_is_shown_once_and_only_its_hash_is_stored(world, client, alice, release):
    made = preview(client, alice, release, **{"Idempotency-Key": "k"})
    token = made["preview_url"].rpartition("/")[2]
    assert made["preview_url"] == f"{world.services.base_url}/releases/preview/{token}"
    again = preview(client, alice, release, **{"Idempotency-Key": "k"})
    assert (again["preview_url"], again["has_preview"]) == (None, True)
    with world.database.read() as connection:
        for table in (stored_event, idempotency, releases):
            assert token not in str(connection.execute(select(table)).all())
    assert read(client, alice, release) == again


def test_a_secret_link_is_replaced_and_withdrawn(client, alice, release):
    first, second = (preview(client, alice, release)["preview_url"] for _ in range(2))
    assert [client.get(link).status_code for link in (first, second)] == [404, 200]
    assert preview(client, alice, release, "delete")["has_preview"] is False
    assert client.get(second).status_code == 404
