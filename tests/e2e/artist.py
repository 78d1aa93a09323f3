"""An artist at the service and at a PDS: sends requests, and compares log and PDS."""

import itertools
from typing import Any

import httpx

from demo.agreement import differences
from demo.service import Client, Service
from demo.story import COLLECTION, Act, Stage, Step, play, wait_for_delivery
from devpds.server import DevPds
from tests.media_samples import samples
from tests.servers.atproto import PdsAccount

RESTORE, MIGRATE, UNDELETE = "restore-record", "migrate-to-pds", "undelete"
seeds = itertools.count(1)


class Artist(Stage):
    def __init__(self, service: Service, pds: DevPds, account: PdsAccount, friend: str = "") -> None:
        super().__init__(Client(service.url, account.did, account.app_password), pds, account.did, friend)
        self.account = account

    def plays(self, *acts: Act) -> Step:
        """Play acts of the story, each of which must end in agreement; gives the last step."""
        for act in acts:
            step = play(self, act)
            assert step.agrees, (act.__name__, step)
        return step

    def uploads(self, **fields: Any) -> dict[str, Any]:
        """Upload a track with sound of its own, and take it in hand."""
        fields = {"title": "First Take", "description": "Recorded in one go.", **fields}
        track = self.client.upload(samples.mp3(next(seeds)), name="tone.mp3", **fields)
        self.track_id, self.record_uri, self.seen_position = track["id"], track["atproto_record_uri"], 0
        return track

    def edits(self, **fields: Any) -> dict[str, Any]:
        return self.client.edit(self.track_id, **fields)

    def deletes(self) -> None:
        self.client.delete(self.track_id)

    def undeletes(self) -> None:
        assert self.asks(UNDELETE).status_code == 200

    def asks(self, action: str, **headers: str) -> httpx.Response:
        return self.client.http.post(f"/tracks/{self.track_id}/{action}", headers=headers)

    def gets(self) -> httpx.Response:
        return self.client.http.get(f"/tracks/{self.track_id}")

    def pages(self, path: str, **params: Any) -> list[dict[str, Any]]:
        """All items of a list, page after page."""
        found: list[dict[str, Any]] = []
        query = {"limit": 100, **params}
        while True:
            page = self.client.http.get(path, params=query).raise_for_status().json()
            found += page["items"]
            if page["cursor"] is None:
                return found
            query["cursor"] = page["cursor"]

    def loses_the_record(self) -> None:
        """Another app of the artist deletes the record."""
        self.pds.delete_record(self.did, COLLECTION, self.rkey)

    def edits_elsewhere(self, **fields: Any) -> None:
        """Another program of the artist changes the record at the PDS."""
        self.pds.put_record(self.did, COLLECTION, self.rkey, {**(self.record or {}), **fields})

    @property
    def text(self) -> str:
        return str(self.client.track(self.track_id)["title"])

    @property
    def known(self) -> str | None:
        """The title that the PDS has; None when it has no record."""
        record = self.record
        return record["title"] if record is not None else None

    @property
    def rkey(self) -> str:
        return self.record_uri.rsplit("/", 1)[1]

    @property
    def record(self) -> dict[str, Any] | None:
        found = self.pds.get_record(self.did, COLLECTION, self.rkey)
        return found["value"] if found is not None else None

    @property
    def mirror(self) -> dict[str, Any]:
        return self.client.mirror(self.track_id)

    def agreed(self) -> dict[str, Any] | None:
        """Wait until the record is delivered, hold it against the track, and give it."""
        mirror = wait_for_delivery(self)
        assert (mirror["state"], mirror["reason"]) == ("delivered", None), mirror
        record = self.record
        track = self.client.track(self.track_id) if mirror["desired"]["op"] == "put" else None
        assert differences(track, record) == [], (track, record)
        if record is not None and "audioBlob" in record:
            assert self.blob_is_served(record)
        return record

    def blob_is_served(self, record: dict[str, Any]) -> bool:
        return self.pds.get_blob(self.did, record["audioBlob"]["ref"]["$link"]) is not None


def verified(artist: Artist) -> dict[str, Any]:
    answer = artist.client.http.post("/me/verify")
    assert answer.status_code == 200
    return dict(answer.json())
