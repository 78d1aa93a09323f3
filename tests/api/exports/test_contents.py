"""What an export has: files in folders, the log, checksums, and the reasons for what is missing."""

import hashlib
import io
import subprocess
from datetime import timedelta
from shutil import which

import pytest
from sqlalchemy import select, update

from replay import exports
from replay.dump import read_lines
from replay.exports import CHECKSUMS, LOG
from storage.media import LONG_AGO, media
from tests.api.exports.making import ask, fetch, made, opened, report, work
from tests.api.tracks.takedown import decide
from tests.api.world import refusal, upload
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE

COVER = samples.png(100, 80)


def contents(world, client, person):
    archive = opened(fetch(client, person, made(world, client, person)))
    assert archive.testzip() is None
    return {name: archive.read(name) for name in archive.namelist()}


def test_it_has_audio_covers_the_log_and_checksums(world, client, alice, bob):
    upload(client, alice, title="One", album="LP", image=COVER)
    upload(client, alice, title="Two", album="LP", seed=2, image=COVER)
    upload(client, alice, title="Single", seed=3, image=samples.png(50, 50))
    upload(client, bob, title="Other", seed=4)
    files = contents(world, client, alice)
    assert list(files) == [
        CHECKSUMS,
        "Alice/LP/01 One.mp3",
        "Alice/LP/01 One.png",
        "Alice/LP/02 Two.mp3",
        "Alice/Single.mp3",
        "Alice/Single.png",
        LOG,
    ]
    assert files["Alice/LP/02 Two.mp3"] == samples.mp3(2)
    assert {line.kind for line in read_lines(io.BytesIO(files[LOG]))} > {"header", "stored_event", "media"}
    assert alice.did.encode() in files[LOG]
    sums = dict(reversed(line.split("  ", 1)) for line in files[CHECKSUMS].decode().splitlines())
    assert sums == {n: hashlib.sha256(data).hexdigest() for n, data in files.items() if n != CHECKSUMS}


@ON_SQLITE
@pytest.mark.skipif(
    None in {which("unzip"), which("sha256sum")}, reason="unzip or sha256sum is not installed"
)
def test_unzip_and_sha256sum_find_no_error(world, client, alice, tmp_path):
    upload(client, alice, title="Söng", album="LP", image=COVER)
    (tmp_path / "all.zip").write_bytes(fetch(client, alice, made(world, client, alice)).content)
    for command in (["unzip", "all.zip"], ["sha256sum", "--check", "--strict", CHECKSUMS]):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b""), done.stdout


@ON_SQLITE
def test_the_cover_of_an_album_lies_in_its_folder_once(world, client, alice):
    upload(client, alice, title="One", album="LP", image=COVER)
    (album,) = client.get("/artists/alice.test/albums").json()["items"]
    image = {"image": ("cover.png", COVER, "image/png")}
    answer = client.patch(f"/albums/{album['id']}", files=image, headers=alice.headers)
    assert answer.status_code == 200, answer.text
    files = contents(world, client, alice)
    assert [name for name in files if name.endswith(".png")] == ["Alice/LP/cover.png"]


@ON_SQLITE
def test_no_name_leads_out_of_its_folder_or_is_there_twice(world, client, alice):
    titles = ["../../etc/passwd", "Song", "SONG", "a/b\\c:d", "...", "x" * 250]
    for seed, title in enumerate(titles, 1):
        upload(client, alice, title=title, seed=seed)
    names = [name for name in contents(world, client, alice) if name.endswith(".mp3")]
    assert names == [
        "Alice/etcpasswd.mp3",
        "Alice/Song.mp3",
        "Alice/SONG (2).mp3",
        "Alice/abcd.mp3",
        "Alice/untitled.mp3",
        f"Alice/{'x' * 200}.mp3",
    ]


@ON_SQLITE
def test_an_album_that_is_called_as_a_file_beside_it_can_be_unpacked(world, client, alice, tmp_path):
    upload(client, alice, title="Song", seed=1)
    upload(client, alice, title="Two", album="song.mp3", seed=2)
    archive = opened(fetch(client, alice, made(world, client, alice)))
    for folder in {name.rpartition("/")[0].casefold() for name in archive.namelist()}:
        assert folder not in map(str.casefold, archive.namelist())
    archive.extractall(tmp_path)


def test_what_is_taken_down_or_lost_is_left_out_and_named(world, client, alice, admin):
    gone, lost, _ = (upload(client, alice, title=f"Song {seed}", seed=seed) for seed in (1, 2, 3))
    assert decide(client, admin, gone).json()["affected"] == 1
    world.execute(update(media).where(media.c.cid == lost["file_id"]).values(state="deleting", reason="x"))
    export = made(world, client, alice)
    reasons = {
        "Alice/Song 1.mp3": "an operator of this service has taken it down",
        "Alice/Song 2.mp3": "its bytes are not stored here, or are damaged",
    }
    assert {each["name"]: each["reason"] for each in export["missing"]} == reasons
    archive = opened(fetch(client, alice, export))
    assert archive.namelist() == [CHECKSUMS, "Alice/Song 3.mp3", LOG]
    said = archive.read(CHECKSUMS).decode().splitlines()[:2]
    assert said == [f"# missing: {name}: {reason}" for name, reason in reasons.items()]


@pytest.mark.parametrize("with_bytes", [False, True])
def test_what_is_taken_down_afterwards_ends_it(*, world, client, alice, bob, admin, with_bytes):
    for seed in (1, 2):
        tracks = [upload(client, person, title=f"Song {seed}", seed=seed) for person in (bob, alice)]
    export = made(world, client, alice)
    decide(client, admin, tracks[not with_bytes], bytes=with_bytes)
    assert refusal(fetch(client, alice, export)) == (409, "taken_down")
    assert refusal(fetch(client, alice, export, Range="bytes=0-0")) == (409, "taken_down")
    assert "Alice/Song 2.mp3" not in contents(world, client, alice)


def test_the_cover_of_an_album_that_is_taken_down_is_left_out_and_ends_what_has_it(
    world, client, alice, admin
):
    for seed in (1, 2):
        upload(client, alice, title=f"Song {seed}", seed=seed, album="LP", image=COVER)
    (album,) = client.get("/artists/alice.test/albums").json()["items"]
    image = {"image": ("cover.png", COVER, "image/png")}
    client.patch(f"/albums/{album['id']}", files=image, headers=alice.headers)
    export = made(world, client, alice)
    takedown = {"reason": "a claim"}
    client.post(f"/ops/albums/{album['id']}/takedown", json=takedown, headers=admin.headers)
    assert refusal(fetch(client, alice, export)) == (409, "taken_down")
    export = made(world, client, alice)
    assert [each["name"] for each in export["missing"]] == ["Alice/LP/cover.png"]
    # their own covers, which are the same bytes, are not down
    names = opened(fetch(client, alice, export)).namelist()
    assert [name for name in names if name.endswith(".png")] == ["Alice/LP/01 Song 1.png"]


@ON_SQLITE
def test_an_account_without_tracks_has_its_log(world, client, alice):
    assert list(contents(world, client, alice)) == [CHECKSUMS, LOG]


def test_one_is_made_at_a_time_and_says_how_far_it_is(world, client, alice, bob):
    upload(client, alice)
    asked = ask(client, alice)
    assert (asked.status_code, asked.headers["location"]) == (202, "/me/exports")
    assert (asked.json()["state"], asked.json()["url"]) == ("waiting", None)
    again = ask(client, alice)
    assert refusal(again) == (409, "export_under_way")
    assert int(again.headers["retry-after"]) > 0
    assert ask(client, bob).status_code == 202
    work(world, alice)
    done = report(client, alice)
    assert (done["files"], done["read"], done["missing"]) == (2, 2, [])
    assert int(fetch(client, alice, done).headers["content-length"]) == done["size"]


def test_another_waits_ten_minutes_and_leaves_the_log_before_to_the_next_sweep(
    world, client, alice, monkeypatch
):
    first = made(world, client, alice)
    with monkeypatch.context() as patched:
        patched.setattr(exports, "MIN_PAUSE", timedelta(minutes=10))
        assert refusal(ask(client, alice)) == (409, "export_under_way")
    upload(client, alice)
    second = made(world, client, alice)
    assert second["url"] != first["url"]
    with world.database.read() as connection:
        logs = connection.execute(select(media.c.touched_at).where(media.c.mime == "application/x-ndjson"))
        assert sorted(each.touched_at == LONG_AGO for each in logs) == [False, True]
