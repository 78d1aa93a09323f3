"""What a secret link gives to programs: bytes of their own type, none that are taken down, and nothing of it in the access log."""

import logging

import pytest

from tests.api.releases.uploads import draft, read, uploaded
from tests.api.tracks.takedown import decide
from tests.api.world import upload
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


@pytest.fixture
def release(client, alice):
    made = draft(client, alice)
    uploaded(client, alice, made, samples.mp3(1))
    return read(client, alice, made)


@pytest.fixture
def link(client, alice, release):
    made = client.post(f"/releases/{release['id']}/preview", headers=alice.headers).json()
    return made["preview_url"].removeprefix("http://127.0.0.1:8000")


@pytest.fixture
def track(client, bob):
    """Another account's, with the same audio."""
    return upload(client, bob, seed=1)


@pytest.fixture
def audio(link, release):
    return f"{link}/{release['files'][0]['upload_id']}"


def test_audio_that_came_in_one_part_has_the_type_of_audio(client, audio):
    answer = client.get(audio)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/mpeg")


def test_bytes_that_an_operator_has_taken_down_are_not_sent(client, admin, track, audio):
    decide(client, admin, track, bytes=True)
    assert client.get(audio).status_code == 404
    assert client.head(audio).status_code == 404


def test_the_access_log_does_not_have_the_token(client, link, audio, caplog):
    caplog.set_level(logging.INFO, "mastertape.service")
    for address in (link, audio, f"{link}/no/where", "/releases/preview/"):
        client.get(address)
    paths = [record.path for record in caplog.records if record.msg == "request"]
    assert paths == [
        "/releases/preview/{token}",
        "/releases/preview/{token}/{name}",
        "/releases/preview/{token}/{name}",
        "/releases/preview/",
    ]
