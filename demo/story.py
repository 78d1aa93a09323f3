"""The steps of the demo. Each acts on one track and returns its caption."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from demo.agreement import differences
from demo.media import cover, tone
from demo.service import Client
from devpds.server import DevPds

COLLECTION: Final = "fm.plyr.track"
DELIVERY_TIMEOUT_SECONDS: Final = 60.0


@dataclass
class Stage:
    """The artist's client and PDS, a friend's DID, and the track of the story."""

    client: Client
    pds: DevPds
    did: str
    friend: str
    track_id: int = 0
    record_uri: str = ""
    seen_position: int = 0


@dataclass(frozen=True)
class Step:
    """The result of a step."""

    caption: str
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


def edit_details(stage: Stage) -> str:
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
    """Delete the record on the PDS, as another client would, then restore it."""
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


EXPECTED_EVENTS: Final[Mapping[Act, str]] = {
    upload: "Created",
    rename: "MetadataUpdated",
    edit_details: "MetadataUpdated",
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
"""Each step, and the event that it must append; without it, agreement of log and PDS proves nothing."""
STORY: Final[tuple[Act, ...]] = tuple(EXPECTED_EVENTS)


def play(stage: Stage, act: Act) -> Step:
    """Do one step, wait for the delivery, and compare the PDS with the log."""
    caption = act(stage)
    mirror = wait_for_delivery(stage)
    events = _new_events(stage)
    track = None if mirror["desired"]["op"] == "delete" else stage.client.track(stage.track_id)
    response = stage.pds.get_record(stage.did, COLLECTION, stage.record_uri.rsplit("/", 1)[1])
    record = response["value"] if response is not None else None
    problems = differences(track, record)
    if EXPECTED_EVENTS[act] not in events:
        problems.append(f"no {EXPECTED_EVENTS[act]} in the log")
    if act in {migrate, undelete} and "audioBlob" not in (record or {}):
        problems.append("the record names no blob")
    if mirror["state"] != "delivered":
        problems.append(f"mirror is {mirror['state']}: {mirror['reason']}")
    if record is not None and "audioBlob" in record and not _blob_is_served(stage, record):
        problems.append("the PDS does not serve the blob")
    return Step(caption, events, record, problems)


def wait_for_delivery(stage: Stage) -> dict[str, Any]:
    """Return the track's mirror once it is delivered, or as it is after DELIVERY_TIMEOUT_SECONDS."""
    deadline = time.monotonic() + DELIVERY_TIMEOUT_SECONDS
    while True:
        mirror = stage.client.mirror(stage.track_id)
        if mirror["state"] == "delivered" or time.monotonic() > deadline:
            return mirror
        time.sleep(0.05)


def _new_events(stage: Stage) -> list[str]:
    rows = [row for row in stage.client.history(stage.track_id) if row["position"] > stage.seen_position]
    if rows:
        stage.seen_position = rows[-1]["position"]
    return [row["type"] for row in rows]


def _blob_is_served(stage: Stage, record: dict[str, Any]) -> bool:
    return stage.pds.get_blob(stage.did, record["audioBlob"]["ref"]["$link"]) is not None
