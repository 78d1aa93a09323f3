"""The lists of an artist at the service, and their records at the PDS."""

from collections.abc import Mapping, Sequence
from typing import Any

from demo.story import COLLECTION
from tests.e2e.artist import Artist
from tests.waits import until

LISTS = COLLECTION.replace("track", "list")
LIKES = COLLECTION.replace("track", "like")
Track = Mapping[str, Any]


class ListMaker:
    def __init__(self, artist: Artist) -> None:
        self.artist, self.pds, self.did = artist, artist.pds, artist.did
        self.http = artist.client.http

    def tracks(self, number: int) -> list[dict[str, Any]]:
        """Upload tracks, and wait until each has its record."""
        made = []
        for title in range(1, number + 1):
            made.append(self.artist.uploads(title=f"Take {title}"))
            self.artist.agreed()
        return made

    def does(self, method: str, path: str, **body: Any) -> Any:
        answer = self.http.request(method, path, **({"json": body} if body else {}))
        assert answer.is_success, answer.text
        return answer.json()

    def creates(self, door: str, *tracks: Track, name: str = "Takes") -> str:
        """Make an album or a playlist, and return its path."""
        named = {"title" if door == "albums" else "name": name}
        entries = [{"track_id": track["id"]} for track in tracks]
        return f"/{door}/{self.does('POST', f'/{door}', **named, tracks=entries)['id']}"

    def reads(self, path: str) -> dict[str, Any]:
        return dict(self.does("GET", path))

    def orders(self, path: str, *tracks: Track) -> None:
        """Set the whole order, as decided on the list as it is."""
        version = {"If-Match": f'"{self.reads(path)["version"]}"'}
        entries = {"tracks": [{"track_id": track["id"]} for track in tracks]}
        answer = self.http.put(f"{path}/tracks", json=entries, headers=version)
        assert answer.is_success, answer.text

    def rkey(self, path: str) -> str:
        return str(self.reads(path)["uri"].rpartition("/")[2])

    def record(self, path: str) -> dict[str, Any]:
        found = self.pds.get_record(self.did, LISTS, self.rkey(path))
        assert found is not None
        return dict(found["value"])

    def overwrites(self, path: str, record: Mapping[str, Any]) -> None:
        """Another program of the artist writes the record."""
        self.pds.put_record(self.did, LISTS, self.rkey(path), record)

    def agrees(self, path: str) -> dict[str, Any]:
        """Wait until the record has the tracks of the list, in their order and as they are, and return it."""
        until(lambda: self._is_current(path))
        return self.record(path)

    def _is_current(self, path: str) -> bool:
        mine = self.reads(path)
        mirror = mine["mirror"] or {"state": None}
        if mirror["state"] != "delivered" or mirror["references"]["state"] != "current":
            return False
        written = [item["subject"] for item in self.record(path)["items"]]
        if [each["uri"] for each in written] != [entry["uri"] for entry in mine["tracks"]]:
            return False
        found = [self.pds.get_record(*_place(each["uri"])) for each in written]
        return [each["cid"] for each in written] == [record and record["cid"] for record in found]


def _place(uri: str) -> tuple[str, str, str]:
    did, collection, rkey = uri.removeprefix("at://").split("/")
    return did, collection, rkey


def uris(tracks: Sequence[Track]) -> list[str]:
    return [track["atproto_record_uri"] for track in tracks]


def uris_in(record: Mapping[str, Any]) -> list[str]:
    return [item["subject"]["uri"] for item in record["items"]]
