"""The second part of the demo: an album of three tracks, whose record follows what happens to it and to them."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from demo.media import tone
from demo.story import DELIVERY_TIMEOUT_SECONDS, Stage, Step

COLLECTION: Final = "fm.plyr.list"
TITLES: Final = ("Needle", "Groove", "Run-out")


@dataclass
class Album:
    """The artist's client and PDS, the album, and its tracks in the order of their uploads."""

    stage: Stage
    list_id: int = 0
    uri: str = ""
    tracks: list[int] = field(default_factory=list)
    seen_position: int = 0

    @property
    def path(self) -> str:
        return f"/albums/{self.list_id}"

    @property
    def rkey(self) -> str:
        return self.uri.rsplit("/", 1)[1]

    def ask(self, method: str, path: str = "", **how: Any) -> httpx.Response:
        """Send a request about the album; raises for what is refused."""
        return self.stage.client.http.request(method, self.path + path, **how).raise_for_status()

    def reorder(self, *places: int) -> None:
        """Set the order, as decided on the version that is there now."""
        tracks = [{"track_id": self.tracks[place]} for place in places]
        etag = self.ask("GET").headers["etag"]
        self.ask("PUT", "/tracks", json={"tracks": tracks}, headers={"If-Match": etag})

    def record(self) -> dict[str, Any] | None:
        """Return the record as the PDS has it."""
        found = self.stage.pds.get_record(self.stage.did, COLLECTION, self.rkey)
        return found["value"] if found is not None else None


Act = Callable[[Album], str]


def make(album: Album) -> str:
    """Upload three tracks, and make an album of them."""
    client = album.stage.client
    album.tracks = [client.upload(tone(330 + at), title=title)["id"] for at, title in enumerate(TITLES)]
    entries = [{"track_id": track_id} for track_id in album.tracks]
    made = client.http.post("/albums", json={"title": "Side One", "tracks": entries}).raise_for_status()
    album.list_id, album.uri = made.json()["id"], made.json()["uri"]
    return "make an album of three new tracks"


def reorder_while_the_pds_is_down(album: Album) -> str:
    """Stop the PDS, set another order, start it again."""
    album.stage.pds.stop()
    album.reorder(2, 0, 1)
    album.stage.pds.start()
    return "PDS down: another order; PDS up"


def edit_a_track(album: Album) -> str:
    """Edit one of its tracks, whose record has another CID then."""
    album.stage.client.edit(album.tracks[0], title="Needle drop")
    return "edit a track: the reference follows"


def rename(album: Album) -> str:
    """Give it another title, which its tracks have too."""
    album.ask("PATCH", json={"title": "Side Two"})
    return "rename it, and with it its tracks' album"


def reorder_elsewhere(album: Album) -> str:
    """Have another client set an order while the artist sets one here; the artist decides for theirs."""
    record = album.record() or {}
    turned = {**record, "items": record["items"][::-1]}
    album.stage.pds.put_record(album.stage.did, COLLECTION, album.rkey, turned)
    album.reorder(0, 1, 2)
    _wait_for(lambda: album.ask("GET", "/mirror").json()["state"] == "held")
    album.ask("POST", "/mirror/resolve", json={"keep": "theirs"})
    return "another app sets another order at the same time; take theirs"


def delete(album: Album) -> str:
    """Delete it; its tracks stay, without its title."""
    album.ask("DELETE")
    return "delete the album, keep its tracks"


EXPECTED_EVENTS: Final[Mapping[Act, str]] = {
    make: "Created",
    reorder_while_the_pds_is_down: "Reordered",
    edit_a_track: "ReferencesRefreshed",
    rename: "Edited",
    reorder_elsewhere: "ForeignEditAdopted",
    delete: "Deleted",
}
"""Each step, and the event that it must append."""
ALBUM_STORY: Final[tuple[Act, ...]] = tuple(EXPECTED_EVENTS)


def play(album: Album, act: Act) -> Step:
    """Do one step, wait until the PDS has it all, and compare it with the log."""
    caption = act(album)
    is_deleted = act is delete
    _wait_for(lambda: _is_settled(album))
    rows = album.ask("GET", "/history", params={"limit": 100}).json()["items"]
    events = [row["type"] for row in reversed(rows) if row["position"] > album.seen_position]
    album.seen_position = rows[0]["position"]
    tracks = {each["atproto_record_uri"]: each for each in map(album.stage.client.track, album.tracks)}
    record = album.record()
    wanted = None if is_deleted else _expected(album, tracks)
    problems = [] if (record is None) is (wanted is None) else ["the record itself"]
    if record is not None and wanted is not None:
        names = (record.keys() | wanted.keys()) - {"mastertapeGen"}  # theirs has the one of before
        problems += sorted(name for name in names if record.get(name) != wanted.get(name))
    title = None if wanted is None else wanted["name"]
    problems += [f"the album of {each['title']}" for each in tracks.values() if each["album"] != title]
    if EXPECTED_EVENTS[act] not in events:
        problems.append(f"no {EXPECTED_EVENTS[act]} in the log")
    if not _is_settled(album):
        problems.append("it is not delivered")
    return Step(caption, events, _shown(record, tracks), problems)


def _is_settled(album: Album) -> bool:
    """Whether the PDS has the album and its tracks as they are, and the album refers to its tracks as they are."""
    mirror = album.ask("GET", "/mirror").json()
    is_current = mirror["state"] == "delivered" and mirror["references"]["state"] == "current"
    return is_current and all(
        album.stage.client.mirror(each)["state"] == "delivered" for each in album.tracks
    )


def _expected(album: Album, tracks: Mapping[str, Any]) -> dict[str, Any]:
    made = album.ask("GET").json()
    uris = [entry["uri"] for entry in made["tracks"]]
    return {
        "$type": COLLECTION,
        "name": made["title"],
        "listType": "album",
        "items": [{"subject": {"uri": uri, "cid": tracks[uri]["atproto_record_cid"]}} for uri in uris],
        "createdAt": made["created_at"],
    }


def _shown(record: Mapping[str, Any] | None, tracks: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the record with a field for each item: its track, and the end of the CID."""
    if record is None:
        return None
    subjects = [item["subject"] for item in record["items"]]
    items = {
        str(place): f"{tracks[each['uri']]['title']} …{each['cid'][-4:]}"
        for place, each in enumerate(subjects, 1)
    }
    return {**record, **items}


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DELIVERY_TIMEOUT_SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
