"""Artists whose subject is a playlist, a comment or the profile: what is done to a track is done to it."""

from typing import Any

import httpx

from demo.story import COLLECTION as TRACKS
from tests.e2e.artist import Artist
from tests.e2e.lists_of_an_artist import LISTS
from tests.waits import until


class OtherArtist(Artist):
    """`title` is the text of the subject, whatever its name."""

    PLURAL: str
    COLLECTION: str
    TEXT: str

    def makes(self, title: str) -> httpx.Response:
        raise NotImplementedError

    def edited_at(self) -> str:
        return f"/{self.PLURAL}/{self.track_id}"

    def uploads(self, **fields: Any) -> dict[str, Any]:
        self.title = fields.get("title", "First")
        body = self._body(self.makes(self.title))
        self.track_id, self.record_uri = body["id"], body["uri"]
        return body

    def edits(self, **fields: Any) -> dict[str, Any]:
        self.title = fields["title"]
        return self._body(self.client.http.patch(self.edited_at(), json={self.TEXT: self.title})) | fields

    def deletes(self) -> None:
        self._body(self.client.http.delete(f"/{self.PLURAL}/{self.track_id}"))

    def asks(self, action: str, **headers: str) -> httpx.Response:
        return self.client.http.post(f"/{self.PLURAL}/{self.track_id}/{action}", headers=headers)

    @property
    def text(self) -> str:
        return self.title

    @property
    def known(self) -> str | None:
        record = self.record
        return record[self.TEXT] if record is not None else None

    @property
    def record(self) -> dict[str, Any] | None:
        found = self.pds.get_record(self.did, self.COLLECTION, self.rkey)
        return found["value"] if found is not None else None

    @property
    def mirror(self) -> dict[str, Any]:
        return self._body(self.client.http.get(f"/{self.PLURAL}/{self.track_id}/mirror"))

    def agreed(self) -> dict[str, Any] | None:
        until(lambda: self.mirror["state"] == "delivered", within=60)
        mirror = self.mirror
        assert (mirror["state"], mirror["reason"]) == ("delivered", None), mirror
        record, is_live = self.record, mirror["desired"]["op"] == "put"
        found = None if record is None else (record[self.TEXT], record["mastertapeGen"])
        assert found == ((self.title, mirror["generation"]) if is_live else None), (record, mirror)
        return record

    @staticmethod
    def _body(reply: httpx.Response) -> dict[str, Any]:
        assert reply.is_success, reply.text
        return dict(reply.json())


class ArtistOfPlaylists(OtherArtist):
    PLURAL, COLLECTION, TEXT = "playlists", LISTS, "name"

    def makes(self, title: str) -> httpx.Response:
        return self.client.http.post("/playlists", json={"name": title, "tracks": []})


class ArtistOfComments(OtherArtist):
    PLURAL, COLLECTION, TEXT = "comments", TRACKS.replace("track", "comment"), "text"

    def makes(self, title: str) -> httpx.Response:
        self._body(self.client.http.patch("/me", json={"comments": True}))
        [track, *_] = self._body(self.client.http.get("/tracks", params={"artist": self.did}))["items"]
        body = {"text": title, "timestamp_ms": 0}
        return self.client.http.post(f"/tracks/{track['id']}/comments", json=body)

    def undeletes(self) -> None:
        """Nobody can: another one is made."""
        self.uploads(title=self.title)


class ArtistOfProfiles(OtherArtist):
    PLURAL, COLLECTION, TEXT = "profiles", TRACKS.replace("track", "actor.profile"), "bio"

    def makes(self, title: str) -> httpx.Response:
        reply = self.client.http.patch("/me", json={"bio": title})
        return httpx.Response(reply.status_code, json=reply.json()["profile"])

    def edited_at(self) -> str:
        return "/me"


KINDS: dict[str, type[Artist]] = {
    "tracks": Artist,
    "playlists": ArtistOfPlaylists,
    "comments": ArtistOfComments,
    "profiles": ArtistOfProfiles,
}
