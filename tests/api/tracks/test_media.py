"""Audio and covers: ranges, caching, and gates."""

import pytest
from sqlalchemy import update

from storage.media import media
from tests.api.world import Vouching, refusal, upload
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE

SOUND = samples.mp3(1)
SIZE = len(SOUND)
RANGES = [
    ("bytes=0-0", 0, 1),
    ("bytes=0-", 0, SIZE),
    ("bytes=10-19", 10, 20),
    ("bytes=10-", 10, SIZE),
    ("bytes=-10", SIZE - 10, SIZE),
    ("bytes=-999999", 0, SIZE),
    ("bytes=5-999999", 5, SIZE),
    ("Bytes = 1 - 2", 1, 3),
]


@pytest.fixture
def track(client, alice):
    return upload(client, alice, image=samples.png(400, 300))


@pytest.fixture
def gated(client, alice):
    return upload(client, alice, support_gate={"type": "any"})


def path(url):
    return "/" + url.split("/", 3)[3]


def hear(client, track, person=None, **headers):
    return client.get(path(track["audio_url"]), headers={**(person.headers if person else {}), **headers})


def test_the_whole_sound_is_served_to_be_kept_for_minutes_and_never_run(client, track):
    answer = hear(client, track)
    assert (answer.status_code, answer.content) == (200, SOUND)
    assert answer.headers["content-type"] == "audio/mpeg"
    assert answer.headers["content-length"] == str(SIZE)
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["etag"] == f'"{track["file_id"]}"'
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]


def test_a_range_is_given(subtests, client, track):
    for wanted, start, end in RANGES:
        with subtests.test(wanted):
            answer = hear(client, track, Range=wanted)
            assert (answer.status_code, answer.content) == (206, SOUND[start:end])
            assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{SIZE}"
            assert answer.headers["content-length"] == str(end - start)


def test_a_range_outside_is_refused_with_the_size(client, track):
    for wanted in (f"bytes={SIZE}-", "bytes=-0"):
        answer = hear(client, track, Range=wanted)
        assert refusal(answer) == (416, "range_not_satisfiable"), wanted
        assert answer.headers["content-range"] == f"bytes */{SIZE}"


def test_what_is_no_single_range_gets_everything(client, track):
    for wanted in ("bytes=0-1,5-6", "bytes=", "bytes=-", "bytes=5-2", "items=0-1", "bytes=a-b", "bytes=1"):
        answer = hear(client, track, Range=wanted)
        assert (answer.status_code, answer.content) == (200, SOUND), wanted


def test_a_range_of_another_version_gets_everything(client, track):
    answer = hear(client, track, **{"Range": "bytes=0-1", "If-Range": '"other"'})
    assert answer.status_code == 200
    same = hear(client, track, **{"Range": "bytes=0-1", "If-Range": f'"{track["file_id"]}"'})
    assert same.status_code == 206


def test_head_says_what_get_would(client, track):
    whole, part = (
        client.head(path(track["audio_url"]), headers=headers) for headers in ({}, {"Range": "bytes=0-9"})
    )
    assert (whole.status_code, whole.content, whole.headers["content-length"]) == (200, b"", str(SIZE))
    assert (part.status_code, part.content, part.headers["content-length"]) == (206, b"", "10")


def test_a_matching_if_none_match_gets_304(client, track):
    answer = hear(client, track, **{"If-None-Match": f'"{track["file_id"]}"'})
    assert (answer.status_code, answer.content) == (304, b"")


def test_covers_and_thumbnails_are_served(client, track):
    cover, thumbnail = (client.get(path(track[name])) for name in ("image_url", "thumbnail_url"))
    assert (cover.status_code, cover.headers["content-type"]) == (200, "image/png")
    assert (thumbnail.status_code, thumbnail.headers["content-type"]) == (200, "image/webp")
    assert client.head(path(track["image_url"])).headers["content-length"] == str(len(cover.content))


def test_a_cover_is_no_sound_and_a_sound_no_cover(client, track):
    assert refusal(client.get(f"/artwork/{track['file_id']}")) == (404, "media_not_found")
    cover = path(track["image_url"]).rsplit("/", 1)[1]
    assert refusal(client.get(f"/audio/{cover}.mp3")) == (404, "media_not_found")
    assert refusal(client.get(f"/audio/{track['file_id']}.wav")) == (404, "media_not_found")


def test_bytes_are_served_only_while_a_live_track_names_them(client, alice, bob, track):
    client.delete(f"/tracks/{track['id']}", headers=alice.headers)
    assert refusal(hear(client, track)) == (404, "media_not_found")
    assert refusal(client.get(path(track["image_url"]))) == (404, "media_not_found")
    upload(client, bob, seed=1)
    assert hear(client, track).status_code == 200


def test_missing_bytes_are_not_found_and_no_broken_answer(client, world, track):
    keys = [row.key for row in world.rows(media.select())]
    for key in keys:
        world.made.media.store.delete(key)
    assert refusal(hear(client, track)) == (404, "media_not_found")
    world.execute(update(media).values(state="deleting"))
    assert refusal(hear(client, track)) == (404, "media_not_found")


def test_a_gated_sound_is_its_owners(client, alice, bob, gated):
    answer = hear(client, gated, alice)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "private, no-cache"
    assert refusal(hear(client, gated)) == (401, "not_authenticated")
    assert refusal(hear(client, gated, bob)) == (402, "support_required")


def test_the_cover_of_a_gated_track_is_public(client, alice):
    track = upload(client, alice, support_gate={"type": "any"}, image=samples.png())
    assert client.get(path(track["image_url"])).status_code == 200


def test_the_same_bytes_of_an_ungated_track_are_public(client, bob, gated):
    upload(client, bob, seed=1)
    assert hear(client, gated).status_code == 200


def test_taking_the_gate_off_opens_the_sound(client, alice, gated):
    client.patch(f"/tracks/{gated['id']}", json={"support_gate": None}, headers=alice.headers)
    assert hear(client, gated).status_code == 200


def test_without_an_answer_about_supporters_only_the_owner_hears_gated_audio(world, alice, bob, gated):
    client = world.serve(supporters=Vouching())
    assert refusal(hear(client, gated, bob)) == (503, "supporters_unreachable")
    assert hear(client, gated, alice).status_code == 200


def test_bytes_are_streamed_without_holding_a_connection(world, track):
    held = []

    class Watching:
        def read(self, key, start=0, end=None):
            for chunk in world.made.media.store.read(key, start, end):
                held.append(world.database.connections_in_use)
                yield chunk

    class Shown:
        store = Watching()
        find = staticmethod(world.made.media.find)

    assert hear(world.serve(media=Shown()), track).content == SOUND
    assert held
    assert set(held) == {0}
