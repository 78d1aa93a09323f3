"""Damaged and lying files get a documented response, and a refused file leaves nothing."""

import random
import time

import pytest

from api.errors import UnparsableError
from api.requests.body import PARTS, MultipartReader
from tests.api.world import refusal, upload
from tests.media_samples import hostile, samples
from tests.servers.databases import ON_SQLITE
from tests.storage.other_program import changed

pytestmark = ON_SQLITE

FILE_BYTES = 8 * 2**20
CHUNK_BYTES = 256 * 1024
MAX_SECONDS = 0.3
KINDS = {**hostile.sounds(), **hostile.pictures()}
REFUSALS = {(400, "invalid_media"), (415, "unsupported_media"), (413, "too_large"), (409, "duplicate_audio")}


def files():
    """One damaged form of each sample, the nested ones and the bombs."""
    chance, every = random.Random(7), list(KINDS.values())  # noqa: S311 - the same files every time
    for name, data in KINDS.items():
        yield name, next(hostile.mutants(data, every, chance, 1))
    yield from hostile.nested().items()
    yield from hostile.picture_bombs().items()


def test_every_damaged_sound_or_cover_gets_a_documented_response(subtests, client, world, alice):
    world.services.staging.mkdir(parents=True)
    for number, (name, data) in enumerate(files()):
        sound, cover = ("page.html", data, "text/html"), ("cover.svg", data, "image/svg+xml")
        for parts in ({"file": sound}, {"file": samples.mp3(number), "image": cover}):
            with subtests.test(f"{name} as {list(parts)[-1]}"):
                before = world.state()
                answer = client.post("/tracks", data={"title": name}, files=parts, headers=alice.headers)
                if answer.status_code != 201:
                    assert (answer.status_code, answer.json()["detail"]["error"]) in REFUSALS
                    assert world.state() == before
                assert not list(world.services.staging.iterdir())


def test_an_upload_whose_parser_is_killed_may_be_sent_again(client, world, alice, tmp_path):
    before = world.state()
    with changed(world.made.parsers, tmp_path, "audio", "import os; os.kill(os.getpid(), 9)"):
        answer = client.post(
            "/tracks", data={"title": "Song"}, files={"file": samples.mp3()}, headers=alice.headers
        )
    assert refusal(answer) == (503, "not_ready")
    assert int(answer.headers["retry-after"]) > 0
    assert world.state() == before
    assert upload(client, alice)["title"]


@pytest.mark.parametrize("length", [1, 16])
@pytest.mark.parametrize(
    "follows", [b"Q", b" " * FILE_BYTES, b"\t" * FILE_BYTES], ids=["text", "spaces", "tabs"]
)
def test_a_file_full_of_boundaries_or_of_what_may_follow_one_costs_little(tmp_path, length, follows):
    boundary = b"b" * length
    line = b"\r\n--" + boundary + follows
    content = b"--%b\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\n" % boundary
    content += line * (FILE_BYTES // len(line) or 1)
    kind = f"multipart/form-data; boundary={boundary.decode()}"

    def received(size):
        with MultipartReader(kind, tmp_path, {"file": FILE_BYTES}, ["file"]) as reader:
            for at in range(0, len(content), size):
                reader.feed(content[at : at + size])

    for size in (len(content), CHUNK_BYTES):
        began = time.process_time()
        with pytest.raises(UnparsableError):
            received(size)
        assert time.process_time() - began < MAX_SECONDS


@pytest.mark.parametrize("size", [1, 5, CHUNK_BYTES])
def test_a_form_is_taken_or_refused_however_it_arrives(tmp_path, size):
    part = b"--b\r\nContent-Disposition: form-data; name=title\r\n\r\nA\r\n--b--\r\n"

    def received(content):
        with MultipartReader("multipart/form-data; boundary=b", tmp_path, {}, ["title"]) as reader:
            for at in range(0, len(content), size):
                reader.feed(content[at : at + size])
            reader.finish()
            return reader.fields

    assert received(b"\r\n\r\n" + part) == received(part) == {"title": "A"}
    for refused in (b"\r\nan introduction" + part, part + b"\r\n--b ", part + b"\r\n--b" * PARTS):
        with pytest.raises(UnparsableError):
            received(refused)
