"""Releases in the studio without scripts: begun, filled, ordered, saved, shared by a secret link, scheduled, published, deleted."""

import re

import pytest

from application.releases.drafts import DRAFT_TTL
from storage.uploads.staged_uploads import ENDED, UPLOAD_TTL
from tests.api.releases.uploads import age, append, begun, draft, read, tagged, uploaded
from tests.media_samples import samples
from tests.web.pages import assert_small
from tests.web.studio.forms import send
from web.ask import MAX_RELEASE_FORM_BYTES
from web.pages.studio import releases


@pytest.fixture(autouse=True)
def _pds_says_no_limit(monkeypatch):
    async def unknown(*_arguments):
        return None

    monkeypatch.setattr("api.readers.releases.blob_limit", unknown)


@pytest.fixture
def release(client, alice):
    made = draft(client, alice, title="Pressings", tags=["ambient"])
    for number in (1, 2):
        uploaded(client, alice, made, tagged(number, title=f"Song {number}", number=str(number)))
    return read(client, alice, made)


@pytest.fixture
def here(release):
    return f"/studio/releases/{release['id']}"


def titles(client, person, release):
    return [each["title"] for each in read(client, person, release)["files"]]


def test_a_release_is_begun_filled_and_published_without_scripts(world, studio, client, alice):
    page = send(studio, studio.get("/studio/releases"), "/studio/releases")
    here = page.url.path
    for number in (2, 1):
        data = tagged(number, title=f"Song {number}", album="Pressings", number=str(number))
        page = send(studio, page, f"{here}/files", files={"file": (f"{number}.mp3", data)})
        assert page.status_code == 200
    page = send(studio, page, f"{here}/cover", files={"image": ("c.png", samples.png())})
    assert_small(page)
    assert 'value="Pressings"' in page.text
    page = send(studio, page, here, do="publish", unlisted="true")
    assert "It is being published." in page.text
    world.carry()
    assert "Published: 2 tracks" in studio.get(here).text
    (row,) = client.get("/releases", headers=alice.headers).json()["items"]
    made = client.get(f"/releases/{row['id']}", headers=alice.headers).json()
    assert ([each["title"] for each in made["files"]], made["unlisted"]) == (["Song 1", "Song 2"], True)


def test_rows_are_moved_and_taken_out_by_buttons_and_what_is_typed_is_saved_with_it(
    studio, client, alice, release, here
):
    one, two = (each["upload_id"] for each in release["files"])
    typed = {f"title-{one}": "First", f"tags-{one}": "a, b", f"description-{two}": "Loud\r\nand long"}
    page = send(studio, studio.get(here), here, do=f"down:{one}", **typed)
    assert "Saved." in page.text
    files = read(client, alice, release)["files"]
    assert [(each["title"], each["tags"], each["description"]) for each in files] == [
        ("Song 2", None, "Loud\nand long"),
        ("First", ["a", "b"], None),
    ]
    page = send(studio, page, here, do=f"up:{one}")
    assert titles(client, alice, release) == ["First", "Song 2"]
    send(studio, page, here, do=f"remove:{two}")
    assert titles(client, alice, release) == ["First"]


def test_what_is_refused_keeps_what_was_typed(studio, client, alice, release, here):
    one = release["files"][0]["upload_id"]
    page = send(studio, studio.get(here), here, title="x" * 65, **{f"title-{one}": "Kept"})
    assert page.status_code == 400
    assert 'value="Kept"' in page.text
    assert "x" * 65 in page.text
    assert titles(client, alice, release) == ["Song 1", "Song 2"]


def test_what_is_refused_keeps_the_order_that_was_chosen(studio, client, alice, release, here):
    one, two = (each["upload_id"] for each in release["files"])
    moved = {"upload_id": two, "ticked": [("upload_id", one)]}
    page = send(studio, studio.get(here), here, title="x" * 65, **moved)
    assert page.text.index(f'id="file-{two}"') < page.text.index(f'id="file-{one}"')
    send(studio, page, here, title="Pressings")
    assert titles(client, alice, release) == ["Song 2", "Song 1"]


def test_of_two_tabs_each_keeps_what_the_other_has_saved(studio, client, alice, release, here):
    one, two = (each["upload_id"] for each in release["files"])
    first, second = studio.get(here), studio.get(here)
    send(studio, first, here, title="First", do=f"down:{one}", **{f"title-{one}": "A", f"title-{two}": "B"})
    saved = send(studio, second, here, description="Words", **{f"tags-{two}": "live"})
    assert "Saved." in saved.text
    made = read(client, alice, release)
    assert (made["title"], made["description"]) == ("First", "Words")
    assert [(each["title"], each["tags"]) for each in made["files"]] == [("B", ["live"]), ("A", None)]


def test_of_two_tabs_neither_overwrites_the_other_unseen(studio, client, alice, release, here):
    one, two = (each["upload_id"] for each in release["files"])
    uploaded(client, alice, release, tagged(3, title="Song 3", number="3"))
    first, second = studio.get(here), studio.get(here)
    send(studio, first, here, do=f"up:{two}", title="First", unlisted="true", **{f"title-{one}": "A"})
    page = send(studio, second, here, do=f"down:{two}", title="Second", **{f"title-{one}": "B"})
    assert page.status_code == 409
    for text in ("saved as “First”", "saved as “A”", "the order was changed", 'value="B"', 'value="Second"'):
        assert text in page.text
    made = read(client, alice, release)
    assert (made["title"], titles(client, alice, release)) == ("First", ["Song 2", "A", "Song 3"])
    page = send(studio, page, here)
    made = read(client, alice, release)
    assert (made["title"], made["unlisted"], titles(client, alice, release)) == (
        *("Second", True),
        ["B", "Song 3", "Song 2"],
    )


def test_what_was_typed_before_another_tab_scheduled_the_release_stays_and_is_saved_with_a_draft(
    studio, client, alice, release, here
):
    one, two = (each["upload_id"] for each in release["files"])
    first, second = studio.get(here), studio.get(here)
    send(studio, first, here, do="schedule", at="2100-12-05T09:00", zone="+01:00")
    page = send(studio, second, here, do=f"down:{one}", title="Typed", **{f"title-{two}": "B"})
    assert page.status_code == 409
    assert "Save the draft" not in page.text
    for text in ("It is no draft any more", "What you typed is above, and not saved"):
        assert text in page.text
    assert titles(client, alice, release) == ["Song 1", "Song 2"]
    page = send(studio, page, here, do="unschedule")
    assert "Save the draft" in page.text
    made = read(client, alice, release)
    assert (made["state"], made["title"]) == ("draft", "Typed")
    assert titles(client, alice, release) == ["B", "Song 1"]


def test_ends_of_lines_that_a_browser_writes_otherwise_are_no_change(studio, client, alice, release, here):
    url = f"/releases/{release['id']}"
    client.patch(url, json={"description": "One\rtwo\r\nthree"}, headers=alice.headers)
    first = studio.get(here)
    client.patch(url, json={"description": "Words"}, headers=alice.headers)
    page = send(studio, first, here, description="One\r\ntwo\r\nthree", title="First")
    assert "Saved." in page.text
    made = read(client, alice, release)
    assert (made["title"], made["description"]) == ("First", "Words")


def test_what_a_page_of_an_older_version_changes_is_shown_before_it_is_saved(
    studio, client, alice, release, here
):
    rows = [each["upload_id"] for each in release["files"]]
    page = studio.post(here, data={"title": "Second", "tags": "ambient", "upload_id": rows})
    assert (page.status_code, read(client, alice, release)["title"]) == (409, "Pressings")
    send(studio, page, here)
    assert read(client, alice, release)["title"] == "Second"


def test_what_would_keep_a_release_from_being_published_is_shown_where_it_is_entered(
    studio, client, alice, here
):
    album = client.post("/albums", json={"title": "Taken"}, headers=alice.headers).json()
    page = send(studio, studio.get(here), here, title="Taken")
    shown = page.text.partition('id="title-taken"')[2]
    assert shown.startswith(f'><a href="/studio/albums/{album["id"]}">')
    page = send(studio, page, here, title="Other")
    assert page.text.partition('id="title-taken"')[2].startswith(" hidden>")
    files = {"file": ("x.mp3", tagged(1, title="Song 1", number="1"))}
    track = client.post("/tracks", data={"title": "x"}, files=files, headers=alice.headers).json()
    assert f"Your track {track['id']} has exactly this audio" in studio.get(here).text


def test_an_upload_that_has_ended_is_named_and_can_be_removed(world, studio, client, alice, release):
    here = f"/studio/releases/{release['id']}"
    age(world, begun(client, alice, release, name="open.mp3"), UPLOAD_TTL)
    (*_, ended) = read(client, alice, release)["files"]
    page = send(studio, studio.get(here), here, do="publish")
    assert page.text.count(ENDED) == 2  # as a reason, and where it is removed
    page = send(studio, page, here, do=f"remove:{ended['upload_id']}")
    assert ENDED not in page.text


def test_long_notes_of_many_tracks_are_saved(studio, client, alice, release, here):
    notes = {f"description-{each}": "é" * 5000 for each in range(12)}  # more than other forms may have
    one = release["files"][0]["upload_id"]
    page = send(studio, studio.get(here), here, **notes, **{f"title-{one}": "Kept"})
    assert "Saved." in page.text
    assert titles(client, alice, release) == ["Kept", "Song 2"]
    page = send(studio, page, here, notes="x" * MAX_RELEASE_FORM_BYTES)
    assert page.status_code == 413


def test_files_that_are_not_there_or_no_audio_are_named(studio, client, alice, release, here):
    append(client, alice, begun(client, alice, release, name="notes.txt"), b"no audio", 0, last=True)
    begun(client, alice, release, name="open.mp3")
    page = send(studio, studio.get(here), here, do="publish")
    assert page.status_code == 409
    assert "open.mp3: not uploaded yet" in page.text
    assert "notes.txt" in page.text


def test_a_release_is_scheduled_with_its_zone_and_taken_back(studio, client, alice, release, here):
    page = send(studio, studio.get(here), here, do="schedule", at="2100-12-05T09:00", zone="+01:00")
    assert read(client, alice, release)["publish_at"] == "2100-12-05T08:00:00Z"
    assert "5 Dec 2100, 08:00 UTC" in page.text
    assert "Save the draft" not in page.text
    send(studio, page, here, do="unschedule")
    page = send(studio, studio.get(here), here, do="schedule", at="2100-12-05T09:00", zone="+05:45")
    assert read(client, alice, release)["publish_at"] == "2100-12-05T03:15:00Z"
    page = send(studio, page, here, do="unschedule")
    assert '<option value="+05:45">' in page.text
    assert "Save the draft" in page.text
    page = send(studio, page, here, do="schedule", at="", zone="+01:00")
    assert page.status_code == 400


def test_a_secret_link_shows_and_plays_the_release_to_who_has_it(studio, client, alice, release, here):
    page = send(studio, studio.get(here), here, do="preview")
    link = re.search(r'value="http://[^"]*(/releases/preview/[^"]+)"', page.text)[1]
    assert link not in studio.get(here).text
    studio.cookies.clear()
    for accept in ("text/html", "*/*"):
        shown = client.get(link, headers={"Accept": accept})
        assert (shown.status_code, shown.headers["referrer-policy"]) == (200, "no-referrer")
        assert (shown.headers["x-robots-tag"], shown.headers["cache-control"]) == ("noindex", "no-store")
        assert '<meta name="robots" content="noindex">' in shown.text
    assert client.get(link, headers={"Accept": "application/json"}).status_code == 406
    sources = re.findall(r'<audio [^>]*src="([^"]+)"', shown.text)
    assert [client.get(each).content[:3] for each in sources] == [b"ID3"] * 2
    part = client.get(sources[0], headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.headers["cache-control"]) == (206, "private, no-store")
    for name in ("other", "cover"):
        assert client.get(f"{link}/{name}").status_code == 404
    client.delete(f"/releases/{release['id']}/preview", headers=alice.headers)
    for gone in (link, sources[0]):
        assert client.get(gone).status_code == 404


def test_a_draft_says_from_the_23rd_day_on_when_it_ends(studio, here, monkeypatch):
    for address in (here, "/studio/releases"):
        assert " ends " not in studio.get(address).text.lower()
    monkeypatch.setattr(releases, "ENDS_SOON", DRAFT_TTL)
    for address in (here, "/studio/releases"):
        assert " ends " in studio.get(address).text.lower().replace(">ends", "> ends")


def test_a_release_is_deleted(studio, here):
    page = send(studio, studio.get(here), here, do="delete")
    assert "No release yet" in page.text
    assert studio.get(here).status_code == 404
