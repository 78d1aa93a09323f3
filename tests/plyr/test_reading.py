"""What `plyrfm` reads: each operation by both of its clients, and its command line."""

import json
import re
from pathlib import Path

import pytest

from tests.e2e.artist import Artist
from tests.e2e.conftest import ONE_DATABASE
from tests.plyr.rig import Plyrfm
from tests.waits import until

pytestmark = [pytest.mark.pds, ONE_DATABASE]


def test_the_page_names_every_operation_of_the_client(plyrfm: Plyrfm) -> None:
    every = plyrfm.call("operations")
    assert len(every) == 30
    page = (Path(__file__).parents[2] / "docs/plyr.md").read_text()
    listed = re.findall(r"^\| `([\w.]+)` \| [A-Z]+ /", page, re.MULTILINE)
    assert sorted(listed) == every


@pytest.mark.parametrize("client", ["sync", "async"])
def test_each_reading_operation_works_unmodified(
    plyrfm: Plyrfm, artist: Artist, client: str, tmp_path: Path
) -> None:
    track = artist.uploads(title="Blue Train", album="Trains", tags=json.dumps(["jazz", client]))
    record = artist.agreed()
    assert record is not None

    def call(name: str, *args: object, **kwargs: object) -> object:
        return plyrfm.call(name, *args, client=client, **kwargs)

    shown = call("tracks.get", track["id"])
    assert shown == call("tracks.get", track["atproto_record_uri"])
    assert shown["title"] == record["title"] == "Blue Train"
    assert shown["album"]["title"] == record["album"]
    assert shown["atproto_uri"] == track["atproto_record_uri"]
    assert shown["publishing"]["access"] == {
        "listening": "public",
        "downloads": "open",
        "visibility": "public",
    }
    for listed in (
        call("tracks.list"),
        call("tracks.my", limit=5),
        call("tags.tracks", client),
    ):
        assert shown in listed
    call("tracks.like", track["id"])
    until(lambda: track["id"] in [each["id"] for each in call("discover.top_tracks")])
    assert {"name": client, "track_count": 1} in call("tags.list", q=client)
    found = call("discover.search", "blue tra")
    assert track["id"] in [each["id"] for each in found["results"] if each["type"] == "track"]
    assert call("artists.me")["did"] == call("me")["did"] == artist.did
    kept = tmp_path / f"{client}.mp3"
    assert call("tracks.download", track["id"], str(kept)) == str(kept)
    assert kept.read_bytes() == artist.client.http.get(track["audio_url"]).content


def test_the_command_line_reads(plyrfm: Plyrfm, artist: Artist) -> None:
    track = artist.uploads(title="Naima", album="Giant Steps", tags='["ballad"]')
    artist.agreed()
    plyrfm.call("tracks.like", track["id"])
    until(lambda: "Naima" in plyrfm.types("discover", "top"))
    says = {
        ("tracks", "list"): "Naima",
        ("tracks", "get", str(track["id"])): "album: Giant Steps",
        ("tracks", "get", track["atproto_record_uri"]): "tags: ballad",
        ("tracks", "my"): "Giant Steps",
        ("tracks", "download", str(track["id"]), "-o", "kept.mp3"): "saved: kept.mp3",
        ("tags", "list"): "#ballad",
        ("tags", "get", "ballad"): "Naima",
        ("artists", "me"): "display_name:",
        ("discover", "search", "giant"): "album Giant Steps",
    }
    for words, expected in says.items():
        assert expected in plyrfm.types(*words)
    assert artist.did in plyrfm.runs("me")
    assert (plyrfm.folder / "kept.mp3").read_bytes() == artist.client.http.get(track["audio_url"]).content
