"""A run of the peer's own client against the seeded world: each answer as the client returns it, and as the service sent it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from devpds.ports import free_port
from tests.api.world import World
from tests.dumps.seeded_world import Seeded
from tests.media_samples import samples
from tests.plyr.environment import install
from tests.plyr.rig import Plyrfm, RefusedError
from tests.waits import until


def peer_run(world: World, seeded: Seeded, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield a name and a text for each operation, in the order of the run."""
    install()
    song, alice = folder / "song.mp3", seeded.people["alice"]
    song.write_bytes(samples.mp3(20))
    other = folder / "other.mp3"
    other.write_bytes(samples.mp3(21))
    track, playlist = seeded.names["track_id"], None
    assert alice is not None
    with served(world) as url:
        peer = Plyrfm(url, alice.token, folder)
        try:
            for number, (name, *given) in enumerate(RUN):
                made = {"song": str(song), "other": str(other), "track": track, "playlist": playlist}
                args = [made[each] if each in NAMES else each for each in given]
                try:
                    value = peer.call(
                        name, *args, **({"name": "Later"} if name == "playlists.update" else {})
                    )
                except RefusedError as error:
                    value = {"refused": error.error, "status": error.status, "body": error.body}
                world.deliver()
                world.carry()
                if name == "tracks.upload":
                    track = value["track_id"]
                if name == "playlists.create":
                    playlist = value["id"]
                yield f"peer/{number:02}_{name}.json", json.dumps(value, indent=1, sort_keys=True)
        finally:
            peer.close()


NAMES = ("song", "other", "track", "playlist")
"""Arguments of the run that stand for something made in it."""
RUN: tuple[tuple[Any, ...], ...] = (
    ("me",),
    ("artists.me",),
    ("tracks.get", "track"),
    ("tracks.list",),
    ("tracks.my",),
    ("tags.list",),
    ("tags.tracks", "jazz"),
    ("discover.search", "take"),
    ("discover.top_tracks",),
    ("tracks.liked",),
    ("tracks.get", 99),
    ("tracks.upload", "song", "From the peer"),
    ("tracks.get", "track"),
    ("tracks.update", "track", {"model": "TrackPatch", "fields": {"title": "Renamed", "tags": ["late"]}}),
    ("tracks.replace_audio", "track", "other"),
    ("tracks.revisions", "track"),
    ("tracks.like", "track"),
    ("tracks.unlike", "track"),
    ("playlists.create", "Late"),
    ("playlists.add_track", "playlist", "track"),
    ("playlists.get", "playlist"),
    ("playlists.update", "playlist"),
    ("playlists.list",),
    ("playlists.remove_track", "playlist", "track"),
    ("playlists.delete", "playlist"),
    ("artists.update", {"model": "ArtistProfilePatch", "fields": {"bio": "Plays."}}),
    ("tracks.delete", "track"),
)


@contextmanager
def served(world: World) -> Iterator[str]:
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(world.app, port=port, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
