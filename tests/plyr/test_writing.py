"""What `plyrfm` writes: each operation by both of its clients and by its command line, the record looked at after each."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from demo.story import COLLECTION
from tests.e2e.artist import Artist, seeds
from tests.e2e.conftest import ONE_DATABASE
from tests.media_samples import samples
from tests.plyr.rig import Plyrfm, RefusedError
from tests.waits import until

pytestmark = [pytest.mark.pds, ONE_DATABASE]


def a_song(folder: Path) -> str:
    path = folder / "song.mp3"
    path.write_bytes(samples.mp3(next(seeds)))
    return str(path)


def model(name: str, **fields: Any) -> dict[str, Any]:
    return {"model": name, "fields": fields}


def follow(artist: Artist, track_id: int) -> dict[str, Any]:
    """Take the track in hand, wait until its record is delivered and agrees, and return the record."""
    track = artist.client.track(track_id)
    artist.track_id, artist.record_uri, artist.seen_position = track_id, track["atproto_record_uri"], 0
    record = artist.agreed()
    assert record is not None
    return record


def subjects(artist: Artist) -> list[str]:
    """Return what the likes on the artist's PDS are of."""
    likes = artist.pds.list_records(artist.did, COLLECTION.replace("track", "like"))
    return [each["value"]["subject"]["uri"] for each in likes]


def lists(artist: Artist) -> dict[str, list[dict[str, str]]]:
    """Return what the lists on the artist's PDS refer to, by name."""
    records = artist.pds.list_records(artist.did, COLLECTION.replace("track", "list"))
    return {each["value"]["name"]: [item["subject"] for item in each["value"]["items"]] for each in records}


@pytest.mark.parametrize("client", ["sync", "async"])
def test_each_writing_operation_works_unmodified_and_the_record_follows(
    plyrfm: Plyrfm, artist: Artist, friend: str, client: str, tmp_path: Path
) -> None:
    def call(name: str, *args: Any, **kwargs: Any) -> Any:
        return plyrfm.call(name, *args, client=client, **kwargs)

    made = call(
        "tracks.upload", a_song(tmp_path), "Blue Train", album="Trains", tags=["jazz"], description="Notes."
    )
    assert made["title"] == "Blue Train"
    record = follow(artist, made["track_id"])
    assert (record["title"], record["album"], record["description"]) == ("Blue Train", "Trains", "Notes.")

    cover = tmp_path / "cover.png"
    cover.write_bytes(samples.png())
    changes = {"title": "Locomotion", "features": json.dumps([friend]), "tags": ["bop"], "description": ""}
    shown = call("tracks.update", artist.record_uri, model("TrackPatch", **changes, image=str(cover)))
    record = follow(artist, made["track_id"])
    assert (shown["title"], shown["tags"], shown["image_url"]) == ("Locomotion", ["bop"], record["imageUrl"])
    assert (record["title"], record["features"][0]["did"]) == ("Locomotion", friend)
    assert "description" not in record
    call("tracks.update", made["track_id"], model("TrackPatch", album=""))
    assert "album" not in follow(artist, made["track_id"])

    first = artist.client.track(made["track_id"])["file_id"]
    assert call("tracks.replace_audio", made["track_id"], a_song(tmp_path))["title"] == "Locomotion"
    replaced = follow(artist, made["track_id"])
    assert first not in replaced["audioUrl"]
    [revision] = call("tracks.revisions", made["track_id"])
    displaced = call("tracks.restore_revision", made["track_id"], revision["id"])
    assert first in follow(artist, made["track_id"])["audioUrl"]
    assert call("tracks.revisions", made["track_id"]) == [displaced]

    profile = call("artists.update", model("ArtistProfilePatch", display_name="DJ", bio="Plays."))
    assert (profile["display_name"], profile["bio"]) == ("DJ", "Plays.")
    assert call("artists.me")["display_name"] == "DJ"
    assert follow(artist, made["track_id"])["artist"] != "DJ"
    second = call("tracks.upload", a_song(tmp_path), "After")
    assert follow(artist, second["track_id"])["artist"] == "DJ"

    call("tracks.like", second["track_id"])
    [liked] = call("tracks.liked")
    assert (liked["id"], liked["atproto_uri"]) == (second["track_id"], artist.record_uri)
    until(lambda: subjects(artist) == [artist.record_uri])
    call("tracks.unlike", second["track_id"])
    assert call("tracks.liked") == []
    until(lambda: subjects(artist) == [])

    call("tracks.delete", second["track_id"])
    assert artist.agreed() is None


@pytest.mark.parametrize("client", ["sync", "async"])
def test_each_operation_on_playlists_works_unmodified_and_the_record_follows(
    plyrfm: Plyrfm, artist: Artist, client: str
) -> None:
    def call(operation: str, *args: Any, **kwargs: Any) -> Any:
        return plyrfm.call(f"playlists.{operation}", *args, client=client, **kwargs)

    tracks = [artist.uploads(title=title) for title in ("Naima", "Cousin Mary")]
    for track in tracks:
        follow(artist, track["id"])
    made = call("create", "Late")
    assert (made["owner_did"], made["track_count"]) == (artist.did, 0)
    until(lambda: lists(artist) == {"Late": []})
    assert call("add_track", made["id"], tracks[0]["id"])["track_count"] == 1
    assert call("add_track", made["id"], tracks[1]["atproto_record_uri"])["track_count"] == 2
    shown = [plyrfm.call("tracks.get", track["id"]) for track in tracks]
    references = [{"uri": each["atproto_uri"], "cid": each["atproto_cid"]} for each in shown]
    until(lambda: lists(artist) == {"Late": references})
    with pytest.raises(RefusedError) as refused:
        call("add_track", made["id"], tracks[0]["id"])
    assert refused.value.body["detail"] == "track already in playlist"

    renamed = call("update", made["id"], name="Later", show_on_profile=True)
    assert renamed == {**made, "name": "Later", "track_count": 2}
    until(lambda: lists(artist) == {"Later": references})
    assert call("list") == call("by_artist", artist.did) == [renamed]
    read = call("get", made["id"])
    assert [track["title"] for track in read.pop("tracks")] == ["Naima", "Cousin Mary"]
    assert read == renamed
    assert call("recommendations", made["id"], limit=5) == {"tracks": [], "available": False}

    assert call("remove_track", made["id"], tracks[0]["id"])["track_count"] == 1
    until(lambda: lists(artist) == {"Later": references[1:]})
    call("delete", made["id"])
    assert call("list") == []
    until(lambda: lists(artist) == {})


def test_access_is_what_was_asked_for_or_nothing_at_all(
    plyrfm: Plyrfm, artist: Artist, tmp_path: Path
) -> None:
    """By the one client; the command line asks with the other."""

    def uploads(song: str, **access: str) -> Any:
        wanted = model("PublishingDefaults", access=access)
        return plyrfm.call("tracks.upload", song, "Quiet", client="async", publishing=wanted)

    made = uploads(a_song(tmp_path), listening="supporters", visibility="unlisted", downloads="off")
    record = follow(artist, made["track_id"])
    assert record["supportGate"] == {"type": "any"}
    shown = plyrfm.call("tracks.get", made["track_id"])
    assert shown["publishing"]["access"] == {
        "listening": "supporters",
        "visibility": "unlisted",
        "downloads": "off",
    }
    before = artist.pds.list_records(artist.did, COLLECTION)
    for access in ({"listening": "owner"}, {"listening": "signed_in"}, {"visibility": "private"}):
        with pytest.raises(RefusedError) as refused:
            uploads(a_song(tmp_path), **access)
        assert (refused.value.status, refused.value.body["error"]) == (400, "invalid_field")
    assert artist.pds.list_records(artist.did, COLLECTION) == before
    assert [track["id"] for track in plyrfm.call("tracks.my")] == [made["track_id"]]


def test_the_command_line_writes(plyrfm: Plyrfm, artist: Artist, tmp_path: Path) -> None:
    said = plyrfm.types(
        "tracks", "upload", a_song(tmp_path), "Naima", "--album", "Giant Steps", "-t", "ballad",
        "--publishing", '{"access": {"downloads": "ask"}}',
    )  # fmt: skip
    [track_id] = re.findall(r"uploaded: track (\d+)", said)
    assert follow(artist, int(track_id))["album"] == "Giant Steps"
    assert artist.client.track(int(track_id))["downloads"] == "ask"
    said = plyrfm.types("tracks", "update", track_id, "--title", "Naima (alternate)", "--tags", "a, b")
    assert "updated: Naima (alternate)" in said
    assert follow(artist, int(track_id))["title"] == "Naima (alternate)"
    assert "replaced audio" in plyrfm.types("tracks", "replace-audio", track_id, a_song(tmp_path))
    replaced = follow(artist, int(track_id))
    [revision] = plyrfm.call("tracks.revisions", int(track_id))
    assert str(revision["id"]) in plyrfm.types("tracks", "revisions", track_id)
    assert "restored" in plyrfm.types("tracks", "restore-revision", track_id, str(revision["id"]), "--yes")
    assert follow(artist, int(track_id))["audioUrl"] != replaced["audioUrl"]
    assert "display_name: DJ" in plyrfm.types("artists", "update", "--display-name", "DJ", "--bio", "Plays.")
    assert "deleted: Naima (alternate)" in plyrfm.types("tracks", "delete", track_id, "--yes")
    assert artist.agreed() is None


def test_the_command_line_keeps_likes_and_playlists(plyrfm: Plyrfm, artist: Artist) -> None:
    track_id = artist.uploads(title="Naima")["id"]
    follow(artist, track_id)
    assert "liked track" in plyrfm.types("tracks", "like", str(track_id))
    until(lambda: subjects(artist) == [artist.record_uri])
    assert "Naima" in plyrfm.types("tracks", "liked")
    assert "unliked track" in plyrfm.types("tracks", "unlike", artist.record_uri)
    until(lambda: subjects(artist) == [])
    said = plyrfm.types("playlists", "create", "Late")
    [playlist_id] = re.findall(r"created: Late \((\w+)\)", said)
    assert "added track to Late (1 tracks)" in plyrfm.types(
        "playlists", "add-track", playlist_id, str(track_id)
    )
    until(lambda: [each["uri"] for each in lists(artist).get("Late", [])] == [artist.record_uri])
    assert "Naima" in plyrfm.types("playlists", "get", playlist_id)
    assert "updated: Later" in plyrfm.types("playlists", "update", playlist_id, "--name", "Later")
    assert "Later" in plyrfm.types("playlists", "list")
    said = plyrfm.types("playlists", "remove-track", playlist_id, artist.record_uri)
    assert "removed track from Later (0 tracks)" in said
    until(lambda: lists(artist) == {"Later": []})
    assert "deleted" in plyrfm.types("playlists", "delete", playlist_id, "--yes")
    until(lambda: lists(artist) == {})
