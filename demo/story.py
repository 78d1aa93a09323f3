"""The story: what happens to one track, step by step. Each step does something and says it in a few words."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from demo.agreement import differences
from demo.media import cover, tone
from demo.service import Client
from devpds.server import DevPds

COLLECTION: Final = "fm.plyr.track"
PATIENCE_SECONDS: Final = 60.0


@dataclass
class Stage:
    """Who plays: an artist at the service, the artist's PDS, and a friend's DID."""

    client: Client
    pds: DevPds
    did: str
    friend: str
    track_id: int = 0
    record_uri: str = ""
    seen_position: int = 0


@dataclass(frozen=True)
class Step:
    """One step as it ended."""

    said: str
    events: list[str]
    record: dict[str, Any] | None
    differences: list[str] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether the PDS holds what the log says."""
        return not self.differences


Act = Callable[[Stage], str]


def upload(stage: Stage) -> str:
    """Upload a track with audio and cover."""
    track = stage.client.upload(
        tone(220), title="First Take", tags='["demo"]', description="Recorded in one go."
    )
    stage.track_id, stage.record_uri = track["id"], track["atproto_record_uri"]
    return "upload a track"


def rename(stage: Stage) -> str:
    """Edit the title."""
    stage.client.edit(stage.track_id, title="Second Thoughts")
    return "give it another title"


def tell_more(stage: Stage) -> str:
    """Edit description, album and a featured artist."""
    stage.client.edit(
        stage.track_id, album="Pressings", features=[stage.friend], description="A longer story.\nTwo lines."
    )
    return "put it on an album, with a friend and more to read"


def clear_description(stage: Stage) -> str:
    """Clear a field with an empty string."""
    stage.client.edit(stage.track_id, description="", self_labels=["explicit"])
    return "clear the description, label it"


def set_cover(stage: Stage) -> str:
    """Give it artwork."""
    stage.client.set_artwork(stage.track_id, cover("teal", "gold"))
    return "give it artwork"


def replace_cover(stage: Stage) -> str:
    """Give it other artwork."""
    stage.client.set_artwork(stage.track_id, cover("maroon", "white"))
    return "replace the artwork"


def remove_cover(stage: Stage) -> str:
    """Take the artwork off."""
    stage.client.edit(stage.track_id, remove_image=True)
    return "remove the artwork"


def lose_and_restore(stage: Stage) -> str:
    """Delete the record behind the service's back, then have it restored."""
    stage.pds.delete_record(stage.did, COLLECTION, stage.record_uri.rsplit("/", 1)[1])
    stage.client.post(stage.track_id, "restore-record")
    return "another app deletes the record; restore it"


def migrate(stage: Stage) -> str:
    """Copy the audio to the PDS."""
    stage.client.post(stage.track_id, "migrate-to-pds")
    return "move the audio to the PDS"


def edit_while_the_pds_is_down(stage: Stage) -> str:
    """Stop the PDS, edit twice, start it again."""
    stage.pds.stop()
    began = time.monotonic()
    stage.client.edit(stage.track_id, title="Third Wind")
    stage.client.edit(stage.track_id, album="Pressings, Vol. 2")
    took = (time.monotonic() - began) * 1000
    stage.pds.start()
    return f"PDS down: two edits, answered in {took:.0f} ms; PDS up"


def delete(stage: Stage) -> str:
    """Delete the track."""
    stage.client.delete(stage.track_id)
    return "delete the track"


def undelete(stage: Stage) -> str:
    """Bring it back."""
    stage.client.post(stage.track_id, "undelete")
    return "undelete it, audio on the PDS included"


HAPPENS: Final[Mapping[Act, str]] = {
    upload: "Created",
    rename: "MetadataUpdated",
    tell_more: "MetadataUpdated",
    clear_description: "MetadataUpdated",
    set_cover: "ArtworkReplaced",
    replace_cover: "ArtworkReplaced",
    remove_cover: "ArtworkRemoved",
    lose_and_restore: "RecordRestored",
    migrate: "BlobMigrated",
    edit_while_the_pds_is_down: "MetadataUpdated",
    delete: "Deleted",
    undelete: "Undeleted",
}
"""Each step, and the event without which it has done nothing, however well log and PDS agree."""
STORY: Final[tuple[Act, ...]] = tuple(HAPPENS)


def play(stage: Stage, act: Act) -> Step:
    """Do one step, let the relay do its work, and hold the PDS against the log."""
    said = act(stage)
    mirror = delivered(stage)
    events = _new_events(stage)
    track = None if mirror["desired"]["op"] == "delete" else stage.client.track(stage.track_id)
    found = stage.pds.get_record(stage.did, COLLECTION, stage.record_uri.rsplit("/", 1)[1])
    record = found["value"] if found is not None else None
    wrong = differences(track, record)
    if HAPPENS[act] not in events:
        wrong.append(f"no {HAPPENS[act]} in the log")
    if act in {migrate, undelete} and "audioBlob" not in (record or {}):
        wrong.append("the record names no blob")
    if mirror["state"] != "delivered":
        wrong.append(f"mirror is {mirror['state']}: {mirror['reason']}")
    if record is not None and "audioBlob" in record and not _blob_is_served(stage, record):
        wrong.append("the PDS does not serve the blob")
    return Step(said, events, record, wrong)


def delivered(stage: Stage) -> dict[str, Any]:
    """Wait until the mirror is delivered."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        mirror = stage.client.mirror(stage.track_id)
        if mirror["state"] == "delivered":
            return mirror
        if time.monotonic() > deadline:
            return mirror
        time.sleep(0.05)


def _new_events(stage: Stage) -> list[str]:
    rows = [row for row in stage.client.history(stage.track_id) if row["position"] > stage.seen_position]
    if rows:
        stage.seen_position = rows[-1]["position"]
    return [row["type"] for row in rows]


def _blob_is_served(stage: Stage, record: dict[str, Any]) -> bool:
    return stage.pds.get_blob(stage.did, record["audioBlob"]["ref"]["$link"]) is not None
