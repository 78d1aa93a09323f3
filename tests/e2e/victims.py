"""Victims with other kinds of records than tracks, and one whose tracks others follow: lists, likes and the lists of another account."""

from collections.abc import Iterator
from typing import Any, ClassVar

from demo.service import Client
from demo.story import COLLECTION as TRACKS
from tests.e2e.killable import Victim
from tests.e2e.lists_of_an_artist import LISTS, uris_in
from tests.faults.failpoints import FOLLOWING
from tests.servers.atproto import new_account

ALBUM = "Takes"
COMMENTS_AT_A_TRACK = 10
"""Half of what a person may make."""
PLAYLISTS = 3
"""With the album and the list of likes, more than go with the delivery of a track."""


class RecordVictim(Victim):
    """A kind whose record has the text and the generation, and what else is compared in the tests of its kind."""

    URI = "uri"
    PASSED_BY_OTHERS: ClassVar = ("blob", *FOLLOWING)

    def shown(self, subject_id: int) -> dict[str, Any] | None:
        return next((row for row in self.live() if row["id"] == subject_id), None)

    def differences(self, shown: dict[str, Any] | None, generation: int) -> list[Any]:
        record = self.record
        wanted = None if shown is None else (shown[self.TEXT], generation)
        found = None if record is None else (record[self.TEXT], record["mastertapeGen"])
        return [] if wanted == found else [wanted, found]


class PlaylistVictim(RecordVictim):
    PLURAL, COLLECTION, TEXT = "playlists", LISTS, "name"

    def begins(self) -> None:
        self.entries: list[dict[str, int]] = []
        super().begins()

    def makes(self, text: str) -> dict[str, Any]:
        if not self.entries:
            self.entries = [{"track_id": self.artist.uploads(title=text)["id"]} for _ in range(2)]
        return self.asks("POST", "/playlists", json={"name": text, "tracks": self.entries})

    def live(self) -> list[dict[str, Any]]:
        return self.artist.pages(f"/artists/{self.artist.did}/playlists")


class CommentVictim(RecordVictim):
    """Nobody undeletes a comment: its author makes another one."""

    PLURAL, COLLECTION, TEXT = "comments", TRACKS.replace("track", "comment"), "text"

    def begins(self) -> None:
        self.made, self.tracks = 0, list[int]()
        super().begins()

    def makes(self, text: str) -> dict[str, Any]:
        if self.made % COMMENTS_AT_A_TRACK == 0:
            self.asks("PATCH", "/me", json={"comments": True})
            self.tracks.append(self.artist.uploads(title=text)["id"])
        self.made += 1
        body = {"text": text, "timestamp_ms": 0}
        return self.asks("POST", f"/tracks/{self.tracks[-1]}/comments", json=body)

    def undeletes(self) -> None:
        self.creates()

    def live(self) -> list[dict[str, Any]]:
        return [row for track_id in self.tracks for row in self.artist.pages(f"/tracks/{track_id}/comments")]


class ProfileVictim(RecordVictim):
    """An account has one profile, which nobody deletes."""

    PLURAL, COLLECTION, TEXT = "profiles", TRACKS.replace("track", "actor.profile"), "bio"
    PASSED_BY_OTHERS: ClassVar = ("command", "commit", "batch", *RecordVictim.PASSED_BY_OTHERS)
    CANNOT: ClassVar = frozenset({"deletes", "undeletes", "edits_several"})

    def makes(self, text: str) -> dict[str, Any]:
        return dict(self.asks("PATCH", "/me", json={"bio": text})["profile"])

    def edited_at(self, _subject_id: int) -> str:
        return "/me"

    def live(self) -> list[dict[str, Any]]:
        profile = self.asks("GET", "/me")["profile"]
        return [profile] if profile is not None else []


class FollowedVictim(Victim):
    """Its tracks are in its album and playlists and in a friend's list, and both like them: all that follows in jobs."""

    PASSED_BY_OTHERS: ClassVar = ()
    CANNOT: ClassVar = frozenset({"edits_several", "loses_all_records"})

    @classmethod
    def passes(cls, point: str) -> bool:
        return point.startswith((*FOLLOWING, "batch"))

    def begins(self) -> None:
        self.lists: list[str] = []
        super().begins()

    def ends(self) -> None:
        if hasattr(self, "friend"):
            self.friend.http.close()
        super().ends()

    def creates(self) -> None:
        super().creates()
        if not self.lists:
            self._makes_lists()
        for path in self.lists:
            self.asks("POST", f"{path}/tracks", json={"track_id": self.subject_id})
        self._friend_asks("POST", f"{self.friends_list}/tracks", json={"track_id": self.subject_id})
        self.likes()

    def _makes_lists(self) -> None:
        account = new_account(self._pds, self._pds.plc)
        self.friend = Client(self.service.url, account.did, account.app_password)
        self.friends_did = account.did
        names = [f"List {number}" for number in range(PLAYLISTS)]
        made = [self.asks("POST", "/playlists", json={"name": name, "tracks": []}) for name in names]
        album = self.asks("POST", "/albums", json={"title": ALBUM, "tracks": []})
        theirs = self._friend_asks("POST", "/playlists", json={"name": "Theirs", "tracks": []})
        self.friends_list = f"/playlists/{theirs['id']}"
        self.asks("PUT", "/me/likes/record")
        self.lists = [f"/albums/{album['id']}", *(f"/playlists/{each['id']}" for each in made)]

    def _friend_asks(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        reply = self.friend.http.request(method, path, **request)
        assert reply.is_success, reply.text
        return dict(reply.json())

    def renames(self) -> None:
        """The album, and the text of its tracks, have another title, in one commit."""
        is_renamed = self.asks("GET", self.lists[0])["title"] != ALBUM
        self.asks("PATCH", self.lists[0], json={"title": ALBUM if is_renamed else f"{ALBUM} again"})

    def likes(self) -> None:
        """The friend likes the track; the artist does too, or no longer."""
        self._friend_asks("PUT", f"{self.path}/like")
        liked = {row["track_id"] for row in self.artist.pages("/me/likes")}
        self.asks("DELETE" if self.subject_id in liked else "PUT", f"{self.path}/like")

    # What must be true then

    def disagreements(self) -> list[Any]:
        return super().disagreements() or ([*self._what_is_behind()] if self.lists else [])

    def _what_is_behind(self) -> Iterator[Any]:
        did, pds = self.artist.did, self.artist.pds
        cids = {each["uri"]: each["cid"] for each in pds.list_records(did, TRACKS)}
        mine = {each["uri"]: each["value"] for each in pds.list_records(did, LISTS)}
        theirs = [each["value"] for each in pds.list_records(self.friends_did, LISTS)]
        for record in mine.values():
            yield from (each for each in _subjects(record) if cids.get(each["uri"]) != each["cid"])
        for record in theirs:  # which keep what is gone
            yield from (
                each for each in _subjects(record) if cids.get(each["uri"], each["cid"]) != each["cid"]
            )
        for path in self.lists:
            shown = self.asks("GET", path)
            entries = [entry["uri"] for entry in shown["tracks"] if not entry["gone"]]
            if shown["uri"] not in mine or uris_in(mine[shown["uri"]]) != entries:
                yield path, entries, mine.get(shown["uri"])
        yield from self._what_texts_and_counts_miss(mine)

    def _what_texts_and_counts_miss(self, mine: dict[str, dict[str, Any]]) -> Iterator[Any]:
        album = self.asks("GET", self.lists[0])
        inside = {entry["track_id"] for entry in album["tracks"]}
        likes = {row["track_id"] for row in self.artist.pages("/me/likes")}
        theirs = {
            row["track_id"] for row in self._friend_asks("GET", "/me/likes", params={"limit": 100})["items"]
        }
        live = {row["id"]: row for row in self.live()}
        for track_id, row in live.items():
            if row["album"] != (album["title"] if track_id in inside else None):
                yield row["album"], track_id
        if (row := live.get(self.subject_id)) is not None:
            count = (self.subject_id in likes) + (self.subject_id in theirs)
            if row["like_count"] != count:
                yield row["like_count"], count
        wanted = {live[each]["atproto_record_uri"] for each in likes & live.keys()}
        [liked] = [record for record in mine.values() if record["listType"] == "liked"] or [{"items": []}]
        if {*uris_in(liked)} != wanted:
            yield liked, wanted


def _subjects(record: dict[str, Any]) -> Iterator[dict[str, str]]:
    return (item["subject"] for item in record["items"])
