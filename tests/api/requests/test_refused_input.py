"""Bad input gets its documented error, and leaves the log, the media references and the targets unchanged."""

import json

import pytest

from tests.api.world import refusal, upload
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE

LONG_JSON = "[" * 10_000

BAD_FIELDS = [
    ({"title": ""}, "title"),
    ({"title": "x" * 257}, "title"),
    ({"album": "a\0b"}, "album"),
    ({"description": "x" * 5001}, "description"),
    ({"tags": "[1]"}, "tags"),
    ({"tags": "{}"}, "tags"),
    ({"tags": "rock"}, "tags"),
    ({"tags": "["}, "tags"),
    ({"tags": LONG_JSON}, "tags"),
    ({"tags": '["' + "x" * 51 + '"]'}, "tags"),
    ({"tags": '["\\ud800"]'}, "tags"),
    ({"self_labels": '["' + "x" * 129 + '"]'}, "self_labels"),
    ({"self_labels": "nope"}, "self_labels"),
    ({"features": '["nobody.example"]'}, "features"),
    ({"features": '["\\ud800"]'}, "features"),
    ({"features": "[3]"}, "features"),
    ({"features": "bob.test"}, "features"),
    ({"features": str([f"f{n}.test" for n in range(11)]).replace("'", '"')}, "features"),
    ({"support_gate": "any"}, "support_gate"),
    ({"support_gate": "[]"}, "support_gate"),
    ({"support_gate": "{}"}, "support_gate"),
    ({"support_gate": '{"type": "copyright"}'}, "support_gate"),
    ({"support_gate": '{"type": 1}'}, "support_gate"),
    ({"unlisted": "maybe"}, "unlisted"),
    ({"downloads": "everyone"}, "downloads"),
    ({"image": "http://example.com/a.png"}, "image"),
    ({"remove_image": "1"}, "remove_image"),
]
BAD_UPLOADS = {field: fields for fields, field in reversed(BAD_FIELDS) if field != "remove_image"}
"""The first of each field: the fields of an upload are those of an edit."""
BAD_JSON = [
    ({"title": None}, "title"),
    ({"title": 5}, "title"),
    ({"title": "\ud800"}, "title"),
    ({"album": ["x"]}, "album"),
    ({"description": {}}, "description"),
    ({"tags": "rock"}, "tags"),
    ({"tags": [None]}, "tags"),
    ({"tags": {"a": 1}}, "tags"),
    ({"features": True}, "features"),
    ({"downloads": False}, "downloads"),
    ({"support_gate": ["any"]}, "support_gate"),
    ({"support_gate": "any"}, "support_gate"),
    ({"unlisted": 1}, "unlisted"),
    ({"remove_image": "yes"}, "remove_image"),
]
UNPARSABLE = [
    (b"{", "application/json"),
    (b"[]", "application/json"),
    (b"null", "application/json"),
    (b'{"title": NaN}', "application/json"),
    (b'{"a": ' + b"[" * 10_000, "application/json"),
    (b"\xff\xfe\xfd", "application/json"),
    (b"title=%ff", "application/x-www-form-urlencoded"),
    (b"x", "multipart/form-data"),
    (b"x", "multipart/form-data; boundary="),
    (b"x", "multipart/form-data; boundary=b"),
    (b'--b\r\nContent-Disposition: form-data; name="title"\r\n\r\nx', "multipart/form-data; boundary=b"),
    (b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n", "multipart/form-data; boundary=b"),
    (
        b'--b\r\nContent-Disposition: form-data; name="title"\r\n\r\nx\r\n' * 2 + b"--b--\r\n",
        "multipart/form-data; boundary=b",
    ),
    (
        b'--b\r\nContent-Disposition: form-data; name="title"\r\n\r\n\xff\r\n--b--\r\n',
        "multipart/form-data; boundary=b",
    ),
    (b"--b\r\nnonsense\r\n\r\nx\r\n--b--\r\n", "multipart/form-data; boundary=b"),
]
LYING_FILES = [
    (b"", (400, "invalid_media")),
    (samples.noise(5000), (400, "invalid_media")),
    (samples.png(), (400, "invalid_media")),
    (b"ID3\x03\0\0\0\0\0\0", (400, "invalid_media")),
    (samples.file("windows.wma"), (415, "unsupported_media")),
    (samples.wav() + bytes(200_000), (413, "too_large")),
]
LYING_IMAGES = [
    (samples.noise(5000), (415, "unsupported_media")),
    (samples.mp3(), (415, "unsupported_media")),
    (samples.png()[:60], (400, "invalid_media")),
    (b"GIF89a", (415, "unsupported_media")),
]


@pytest.fixture
def track(client, alice):
    return upload(client, alice, image=samples.png(), description="kept")


def field_of(answer):
    assert refusal(answer) == (400, "invalid_field"), answer.text
    detail = answer.json()["detail"]
    assert detail["limit"]
    assert "Nothing was changed" in detail["message"]
    return detail["field"]


def test_a_bad_field_of_a_form_is_named_and_nothing_is_changed(subtests, client, world, alice, track):
    for case in BAD_FIELDS:
        with subtests.test(str(case)[:80]):
            (fields, field), before = case, world.state()
            parts = {name: (None, value) for name, value in {"album": "new", **fields}.items()}
            answer = client.patch(f"/tracks/{track['id']}", files=parts, headers=alice.headers)
            assert field_of(answer) == field
            assert world.state() == before


def test_a_bad_field_of_json_is_named_and_nothing_is_changed(subtests, client, world, alice, track):
    for case in BAD_JSON:
        with subtests.test(str(case)[:80]):
            (fields, field), before = case, world.state()
            content = json.dumps({"description": "new", **fields})
            headers = {**alice.headers, "Content-Type": "application/json"}
            answer = client.patch(f"/tracks/{track['id']}", content=content, headers=headers)
            assert field_of(answer) == field
            assert world.state() == before


def test_an_upload_with_a_bad_field_leaves_nothing(subtests, client, world, alice):
    for field, fields in BAD_UPLOADS.items():
        with subtests.test(field):
            before = world.state()
            data = {"title": "t", **fields}
            answer = client.post(
                "/tracks",
                data=data,
                files={"file": samples.mp3(), "image": samples.png()},
                headers=alice.headers,
            )
            assert field_of(answer) == field
            assert world.state() == before
            assert not list(world.services.staging.iterdir())


def test_a_lying_file_is_refused(subtests, client, world, alice, track):
    for case in LYING_FILES:
        with subtests.test(str(case)[:80]):
            (content, expected), before = case, world.state()
            files = {"file": ("a.mp3", content, "audio/mpeg")}
            posted = client.post("/tracks", data={"title": "t"}, files=files, headers=alice.headers)
            put = client.put(f"/tracks/{track['id']}/audio", files=files, headers=alice.headers)
            assert (refusal(posted), refusal(put)) == (expected, expected)
            assert posted.json()["detail"].get("limit") == (200_000 if expected[0] == 413 else None)
            assert world.state() == before
            assert not list(world.services.staging.iterdir())


def test_a_lying_image_is_refused(subtests, client, world, alice, track):
    for case in LYING_IMAGES:
        with subtests.test(str(case)[:80]):
            (content, expected), before = case, world.state()
            image = ("a.png", content, "image/png")
            posted = client.post(
                "/tracks",
                data={"title": "t"},
                files={"file": samples.mp3(9), "image": image},
                headers=alice.headers,
            )
            patched = client.patch(f"/tracks/{track['id']}", files={"image": image}, headers=alice.headers)
            assert (refusal(posted), refusal(patched)) == (expected, expected)
            assert world.state() == before


def test_an_image_may_have_20_megabytes(client, alice, track):
    image = ("a.png", samples.png() + bytes(20 * 1024 * 1024), "image/png")
    answer = client.patch(f"/tracks/{track['id']}", files={"image": image}, headers=alice.headers)
    assert refusal(answer) == (413, "too_large")
    assert answer.json()["detail"]["limit"] == 20 * 1024 * 1024


@pytest.mark.parametrize("missing", ["file", "title"])
def test_an_upload_without_a_required_part_cannot_be_parsed(client, world, alice, missing):
    before = world.state()
    parts = {"file": ("song.mp3", samples.mp3()), "title": (None, "t")}
    del parts[missing]
    answer = client.post("/tracks", files=parts, headers=alice.headers)
    assert refusal(answer) == (422, "unparsable")
    assert answer.json()["detail"]["field"] == missing
    assert world.state() == before


def test_a_body_that_cannot_be_parsed_is_422(subtests, client, world, alice, track):
    for case in UNPARSABLE:
        with subtests.test(str(case)[:80]):
            (content, kind), before = case, world.state()
            headers = {**alice.headers, "Content-Type": kind}
            answer = client.patch(f"/tracks/{track['id']}", content=content, headers=headers)
            assert refusal(answer) == (422, "unparsable"), answer.text
            assert world.state() == before


def test_more_parts_than_any_route_needs_are_refused(client, alice, track):
    parts = [("image", ("", b""))] * 101
    answer = client.patch(f"/tracks/{track['id']}", files=parts, headers=alice.headers)
    assert refusal(answer) == (422, "unparsable")


def test_a_file_part_that_comes_twice_is_refused(client, alice):
    files = [("file", samples.mp3(1)), ("file", samples.mp3(2))]
    answer = client.post("/tracks", data={"title": "t"}, files=files, headers=alice.headers)
    assert refusal(answer) == (422, "unparsable")


def test_another_kind_of_body_is_415(client, alice, track):
    headers = {**alice.headers, "Content-Type": "text/xml"}
    answer = client.patch(f"/tracks/{track['id']}", content=b"<a/>", headers=headers)
    assert refusal(answer) == (415, "unsupported_media")


def test_an_upload_that_was_cut_off_is_no_upload(client, world, alice):
    request = client.build_request(
        "POST", "/tracks", data={"title": "t"}, files={"file": samples.mp3()}, headers=alice.headers
    )
    whole = request.read()
    headers = {**alice.headers, "Content-Type": request.headers["content-type"]}
    answer = client.post("/tracks", content=whole[:-60], headers=headers)
    assert refusal(answer) == (422, "unparsable")
    assert not list(world.services.staging.iterdir())


def test_the_same_audio_again_is_refused_by_its_artist_only(client, world, alice, bob):
    track = upload(client, alice, seed=7)
    before = world.state()
    answer = client.post(
        "/tracks", data={"title": "t"}, files={"file": samples.mp3(7)}, headers=alice.headers
    )
    assert refusal(answer) == (409, "duplicate_audio")
    assert answer.json()["detail"]["track_id"] == track["id"]
    assert world.state() == before
    assert upload(client, bob, seed=7)["file_id"] == track["file_id"]


def test_fields_are_checked_before_duplicates(client, alice):
    upload(client, alice, seed=7)
    answer = client.post("/tracks", data={"title": ""}, files={"file": samples.mp3(7)}, headers=alice.headers)
    assert field_of(answer) == "title"
