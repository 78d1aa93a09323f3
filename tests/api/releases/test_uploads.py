"""Uploads to releases over HTTP: in parts, cut off, by several processes, repeated, refused, ended."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import delete, func, select, update

from api.pipeline import media_intake
from api.routers.releases import uploads as release_uploads
from application.releases import uploads as use_cases
from replay.derived import sweep_media
from storage.media import LONG_AGO, media
from storage.uploads import staged_uploads
from storage.uploads.staged_uploads import UPLOAD_TTL, release_upload
from tests.api.releases.uploads import (
    age,
    append,
    bandcamp,
    begin,
    begun,
    draft,
    offset,
    read,
    tagged,
    uploaded,
)
from tests.api.tracks.takedown import decide
from tests.api.world import refusal, upload
from tests.media_samples import samples
from tests.servers.databases import ON_BOTH, ON_SQLITE
from tests.storage.other_program import changed

pytestmark = ON_SQLITE
SONG = samples.mp3(1)
HALF = len(SONG) // 2


@pytest.fixture
def release(client, alice):
    return draft(client, alice)


def rows(world, table):
    with world.database.read() as connection:
        return connection.scalar(select(func.count()).select_from(table))


def test_an_upload_in_one_request_is_a_file_of_the_release(client, alice, release):
    answer = begin(client, alice, release, name="Söng.mp3", length=len(SONG))
    url = f"/releases/{release['id']}/uploads/{answer.json()['upload_id']}"
    assert answer.headers["Location"] == url
    assert answer.headers["Upload-Limit"] == "max-size=200000, max-age=86400"
    assert offset(client, alice, url) == (0, "?0")
    answer = append(client, alice, url, SONG, 0, last=True)
    assert (answer.status_code, answer.headers["Upload-Complete"]) == (200, "?1")
    assert answer.json() | {"name": "", "title": ""} == {
        **dict.fromkeys(("reason", "artist", "album", "disc", "number", "year", "description", "tags")),
        "upload_id": url.rpartition("/")[2],
        "name": "",
        "title": "",
        "state": "complete",
        "offset": len(SONG),
        "length": len(SONG),
        "duration": 2,
        "file_type": "mp3",
        "has_image": False,
    }
    assert read(client, alice, release)["files"] == [answer.json()]
    assert offset(client, alice, url) == (len(SONG), "?1")


def test_a_client_learns_that_uploads_go_on_here_before_it_begins_one(client, alice, release):
    for url in (f"/releases/{release['id']}/uploads", begun(client, alice, release)):
        answer = client.options(url)
        assert (answer.status_code, answer.headers["Upload-Limit"]) == (204, "max-size=200000, max-age=86400")


def test_the_tags_of_a_file_are_read(client, alice, release):
    said = {"title": "One", "artist": "Alice", "album": "Pressings", "disc": "2/2", "number": "3/12"}
    data = tagged(1, **said, year="2026", cover=samples.png())
    file = uploaded(client, alice, release, data, name="03.mp3")
    names = (*said, "year", "has_image")
    assert [file[name] for name in names] == ["One", "Alice", "Pressings", 2, 3, 2026, True]


def test_an_album_that_no_list_may_be_called_is_left_out(client, alice, release):
    uploaded(client, alice, release, tagged(1, title="One", album="x" * 65))
    assert read(client, alice, release)["title"] is None


@pytest.mark.parametrize("name", ["undefined''file", "idna''file", "x-none''file", "UTF-8''a; filename*0=b"])
def test_a_name_that_cannot_be_read_begins_an_upload_all_the_same(client, alice, release, name):
    named = {"Content-Disposition": f"attachment; filename*={name}"}
    assert begin(client, alice, release, **named).json()["name"] == "file"


def test_files_without_numbers_come_in_the_order_of_their_names_whichever_is_whole_first(
    client, alice, release
):
    for name in ("10 Coda.mp3", "2 Song.mp3", "1 Overture.mp3"):
        uploaded(client, alice, release, tagged(name), name=name)
    uploaded(client, alice, release, tagged(number="3"), name="with a number.mp3")
    names = ["with a number.mp3", "1 Overture.mp3", "2 Song.mp3", "10 Coda.mp3"]
    assert [file["name"] for file in read(client, alice, release)["files"]] == names


def test_an_album_as_bandcamp_sends_it_becomes_a_draft(client, alice, release):
    titles = ["Overture", "Second Thoughts", "Coda"]
    for name, data in reversed(bandcamp(titles).items()):
        uploaded(client, alice, release, data, name=name)
    made = read(client, alice, release)
    assert made["title"] == "Pressings"
    assert [(each["number"], each["title"], each["artist"], each["year"]) for each in made["files"]] == [
        (number, title, "The Tapes", 2026) for number, title in enumerate(titles, 1)
    ]
    assert made["files"][1]["name"] == "The Tapes - Pressings - 02 Second Thoughts.flac"


def test_a_cover_that_is_no_image_is_left_out(client, alice, release):
    file = uploaded(client, alice, release, tagged(1, title="One", cover=b"no image"))
    assert (file["title"], file["has_image"]) == ("One", False)


def test_tags_that_take_too_long_are_left_out(world, client, alice, release, tmp_path):
    too_long = "import signal; signal.raise_signal(signal.SIGPROF)"
    with changed(world.made.parsers, tmp_path, "tags", too_long):
        file = uploaded(client, alice, release, tagged(1, title="One"), name="03 Coda.mp3")
    assert (file["title"], file["state"]) == ("03 Coda", "complete")


@ON_BOTH
def test_another_process_goes_on_where_the_first_one_stopped(world, client, alice, release):
    url = begun(client, alice, release)
    append(client, alice, url, SONG[:HALF], 0)
    other = world.serve()
    assert offset(other, alice, url) == (HALF, "?0")
    assert append(other, alice, url, SONG[HALF:], HALF, last=True).status_code == 200


def test_an_append_at_another_offset_is_told_the_right_one(client, alice, release):
    url = begun(client, alice, release)
    append(client, alice, url, SONG[:HALF], 0)
    for at in (0, HALF - 1, HALF + 1):
        answer = append(client, alice, url, SONG[:10], at)
        assert refusal(answer) == (409, "mismatching_upload_offset")
        assert (answer.headers["Upload-Offset"], answer.json()["detail"]["offset"]) == (str(HALF), HALF)
    assert offset(client, alice, url) == (HALF, "?0")


@ON_BOTH
def test_of_two_appends_at_once_one_is_told_where_the_other_ended(world, client, alice, release, monkeypatch):
    url = begun(client, alice, release)
    store, other = staged_uploads.append_part, world.serve()

    def overtaken(*arguments):
        monkeypatch.setattr(media_intake, "append_part", store)
        assert append(other, alice, url, SONG[:100], 0).status_code == 204
        return store(*arguments)

    monkeypatch.setattr(media_intake, "append_part", overtaken)
    answer = append(client, alice, url, SONG[:HALF], 0)
    assert refusal(answer) == (409, "mismatching_upload_offset")
    assert answer.headers["Upload-Offset"] == "100"
    assert append(client, alice, url, SONG[100:], 100, last=True).status_code == 200


@pytest.mark.parametrize("at", [0, HALF])
def test_a_last_answer_that_was_lost_is_repeated(world, client, alice, release, at):
    url = begun(client, alice, release)
    append(client, alice, url, SONG[:HALF], 0)
    first = append(client, alice, url, SONG[HALF:], HALF, last=True)
    events = rows(world, release_upload)
    again = append(client, alice, url, SONG[at:], at, last=True)
    assert (again.status_code, again.json()) == (200, first.json())
    assert (rows(world, release_upload), len(read(client, alice, release)["files"])) == (events, 1)


def test_a_file_is_made_of_bytes_that_are_all_there_where_its_process_ended_before(client, alice, release):
    url = begun(client, alice, release)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(media_intake.MediaIntake, "read_audio", dies)
        assert append(client, alice, url, SONG, 0, last=True).status_code == 500
    assert offset(client, alice, url) == (len(SONG), "?0")
    assert append(client, alice, url, b"", len(SONG), last=True).status_code == 200


def dies(*_arguments):
    raise RuntimeError("killed")


@ON_BOTH
def test_of_two_last_requests_at_once_one_makes_the_file(client, alice, release, monkeypatch, world):
    url, other = begun(client, alice, release), world.serve()
    read_audio = media_intake.MediaIntake.read_audio

    async def overtaken(intake, did, staged):
        monkeypatch.setattr(media_intake.MediaIntake, "read_audio", read_audio)
        answer = await asyncio.to_thread(append, other, alice, url, b"", len(SONG), last=True)
        assert answer.status_code == 200
        return await read_audio(intake, did, staged)

    monkeypatch.setattr(media_intake.MediaIntake, "read_audio", overtaken)
    assert append(client, alice, url, SONG, 0, last=True).status_code == 200
    assert len(read(client, alice, release)["files"]) == 1


def test_a_file_without_audio_is_refused_with_its_reason_also_when_asked_again(client, alice, release):
    url = begun(client, alice, release, name="notes.txt")
    for _ in range(2):
        answer = append(client, alice, url, b"no audio at all", 0, last=True)
        assert refusal(answer) == (400, "invalid_media")
    (file,) = read(client, alice, release)["files"]
    assert (file["name"], file["state"]) == ("notes.txt", "refused")
    assert file["reason"] == answer.json()["detail"]["reason"]


def test_bytes_that_an_operator_has_taken_down_are_refused_with_a_sentence(
    client, alice, bob, admin, release
):
    decide(client, admin, upload(client, bob, seed=1), bytes=True)
    answer = append(client, alice, begun(client, alice, release), SONG, 0)
    assert_is_refused(client, alice, release, answer)
    assert "an operator of this service has taken its bytes down" in answer.json()["detail"]["message"]


def test_an_upload_whose_parts_are_gone_is_refused_with_a_sentence(world, client, alice, release):
    url = begun(client, alice, release)
    append(client, alice, url, SONG[:HALF], 0)
    world.execute(delete(media))
    answer = append(client, alice, url, SONG[HALF:], HALF, last=True)
    assert_is_refused(client, alice, release, answer)
    assert "bytes of it are gone" in answer.json()["detail"]["message"]


def assert_is_refused(client, person, release, answer):
    assert refusal(answer) == (400, "invalid_media")
    (file,) = read(client, person, release)["files"]
    assert (file["state"], file["reason"]) == ("refused", answer.json()["detail"]["reason"])


def test_audio_that_a_track_or_a_file_has_already_is_refused_by_name(client, alice, release):
    track = upload(client, alice, seed=1)
    answer = append(client, alice, begun(client, alice, release), SONG, 0, last=True)
    assert f"Track {track['id']} of this artist has exactly this audio" in answer.json()["detail"]["reason"]
    uploaded(client, alice, release, samples.mp3(2), name="two.mp3")
    answer = append(client, alice, begun(client, alice, release), samples.mp3(2), 0, last=True)
    assert "two.mp3" in answer.json()["detail"]["reason"]


def test_a_file_that_is_too_large_is_refused_before_it_is_stored(client, alice, release):
    assert refusal(begin(client, alice, release, length=200_001)) == (413, "too_large")
    url = begun(client, alice, release)
    append(client, alice, url, bytes(150_000), 0)
    assert refusal(append(client, alice, url, bytes(50_001), 150_000)) == (413, "too_large")
    assert refusal(append(client, alice, url, bytes(200_001), 150_000)) == (413, "too_large")
    assert offset(client, alice, url) == (150_000, "?0")


def test_a_file_of_another_length_than_announced_is_refused_with_both(client, alice, release):
    answer = append(client, alice, begun(client, alice, release, length=100), SONG, 0, last=True)
    assert refusal(answer) == (400, "invalid_media")
    assert f"it has {len(SONG)} bytes, not 100 as announced" in answer.json()["detail"]["reason"]


def test_an_append_of_another_type_or_without_its_headers_is_refused(client, alice, release):
    url = begun(client, alice, release)
    for kind in ("application/octet-stream", "audio/mpeg"):
        assert refusal(append(client, alice, url, SONG, 0, **{"Content-Type": kind})) == (
            415,
            "unsupported_media",
        )
    for name, value in (("Upload-Complete", "1"), ("Upload-Offset", "-1"), ("Upload-Offset", "x")):
        assert refusal(append(client, alice, url, SONG, 0, **{name: value})) == (422, "unparsable")
    assert refusal(begin(client, alice, release, **{"Upload-Complete": "?1"})) == (422, "unparsable")
    assert offset(client, alice, url) == (0, "?0")


def test_an_account_has_three_open_uploads(client, alice, release):
    for _ in range(3):
        begun(client, alice, release)
    assert refusal(begin(client, alice, release)) == (409, "limit_reached")
    uploads = read(client, alice, release)["files"]
    client.delete(f"/releases/{release['id']}/uploads/{uploads[0]['upload_id']}", headers=alice.headers)
    begun(client, alice, release)


def test_a_release_has_a_limit_of_files_and_an_upload_of_parts(client, alice, release, monkeypatch):
    monkeypatch.setattr(release_uploads, "MAX_PARTS", 1)
    url = begun(client, alice, release)
    append(client, alice, url, SONG[:10], 0)
    assert refusal(append(client, alice, url, SONG[10:20], 10)) == (409, "limit_reached")
    url = begun(client, alice, release)
    append(client, alice, url, SONG, 0)
    assert append(client, alice, url, b"", len(SONG), last=True).status_code == 200
    monkeypatch.setattr(use_cases, "MAX_FILES", 1)
    assert refusal(begin(client, alice, release)) == (409, "limit_reached")


def test_an_upload_is_its_owners_alone(client, alice, bob, release):
    url, own = begun(client, alice, release), draft(client, bob)
    assert refusal(append(client, bob, url, SONG, 0)) == (404, "not_found")
    elsewhere = url.replace(str(release["id"]), str(own["id"]))
    assert refusal(append(client, bob, elsewhere, SONG, 0)) == (404, "not_found")
    assert client.head(url, headers=bob.headers).status_code == 404


def test_an_upload_is_removed_with_the_file_that_it_became(client, alice, release):
    file, url = uploaded(client, alice, release, SONG), begun(client, alice, release)
    for each in (f"/releases/{release['id']}/uploads/{file['upload_id']}", url):
        assert client.delete(each, headers=alice.headers).status_code == 204
        assert refusal(client.delete(each, headers=alice.headers)) == (404, "not_found")
    assert read(client, alice, release)["files"] == []


def test_another_file_or_place_under_the_same_key_is_refused(client, alice, release):
    key = {"Idempotency-Key": "k"}
    url = begun(client, alice, release, name="one.mp3", **key)
    for other in ({"name": "two.mp3"}, {"name": "one.mp3", "length": 7}):
        assert refusal(begin(client, alice, release, **other, **key)) == (422, "idempotency_mismatch")
    assert append(client, alice, url, SONG[:9], 0, **key).status_code == 204
    assert append(client, alice, url, SONG[:9], 0, **key).headers["Upload-Offset"] == "9"
    assert refusal(append(client, alice, url, SONG[:9], 9, **key)) == (422, "idempotency_mismatch")
    assert refusal(append(client, alice, url, SONG[:9], 0, last=True, **key)) == (422, "idempotency_mismatch")
    assert offset(client, alice, url) == (9, "?0")


def test_a_repetition_under_its_key_begins_no_second_upload(client, alice, release):
    first, again = (begin(client, alice, release, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert first.headers["Location"] == again.headers["Location"]
    assert len(read(client, alice, release)["files"]) == 1


@ON_BOTH
def test_an_upload_ends_after_a_day_and_is_forgotten_with_its_bytes_once_its_file_comes_again(
    world, client, alice, release
):
    old, fresh = begun(client, alice, release), begun(client, alice, release)
    append(client, alice, old, SONG[:HALF], 0)
    age(world, old, timedelta(hours=25))
    assert client.head(old, headers=alice.headers).status_code == 404
    assert refusal(append(client, alice, old, SONG[HALF:], HALF)) == (404, "not_found")
    assert [each["state"] for each in read(client, alice, release)["files"]] == ["refused", "open"]
    begun(client, alice, release)  # of the same file
    assert rows(world, release_upload) == 2
    assert sizes_after_sweep(world) == []
    assert append(client, alice, fresh, SONG, 0, last=True).status_code == 200


@ON_BOTH
def test_the_sweep_leaves_parts_until_the_upload_has_ended(world, client, alice, release):
    url, other = begun(client, alice, release), begun(client, alice, release)
    append(client, alice, url, SONG[:100], 0)
    append(client, alice, url, SONG[100:300], 100)
    append(client, alice, other, SONG[:400], 0)
    almost = world.now() - UPLOAD_TTL + timedelta(minutes=1)
    world.execute(update(media).values(touched_at=almost))
    assert sizes_after_sweep(world) == [100, 200, 400]
    append(client, alice, url, SONG[300:], 300, last=True)
    client.delete(other, headers=alice.headers)
    assert sizes_after_sweep(world) == [len(SONG)]


@ON_BOTH
def test_the_end_of_an_upload_leaves_equal_parts_of_another_account(world, client, alice, bob, release):
    url, other = begun(client, alice, release), begun(client, bob, draft(client, bob))
    for person, each in ((alice, url), (bob, other)):
        append(client, person, each, SONG[:100], 0)
    client.delete(other, headers=bob.headers)
    assert sizes_after_sweep(world) == [100]
    assert append(client, alice, url, SONG[100:], 100, last=True).status_code == 200


def sizes_after_sweep(world):
    """Have the sweep of the shortest grace time run, and the reservations of commands end; return the sizes of what is stored then."""
    world.execute(update(media).values(reserved_at=LONG_AGO))
    sweep_media(world.made.media, timedelta(days=1))
    store = world.made.media.store
    return sorted(store.size(each.key) for each in store.stored())
