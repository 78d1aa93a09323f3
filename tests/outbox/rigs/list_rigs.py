"""An account with lists of its tracks, and another one whose lists follow them."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from aggregates.lists.track_list import TrackList
from aggregates.tracks.track import Track
from aggregates.values import ListItem
from application.reactions import reaction_kind
from eventstore.coordination.threads import Threads
from eventstore.jobs.table import job
from eventstore.jobs.worker import Worker
from outbox.lists.items import list_follower
from outbox.lists.newest import ReferenceState, status_of
from outbox.lists.references import ELSEWHERE, FOLLOWERS, OWN, REFERENCES, references_kinds
from outbox.mirror.tables import delivery_attempt
from outbox.pds.client import RecordKey
from outbox.relay.result import Outcome
from projections.reactions import REACTION
from service.observability.subscribers import PROJECTIONS
from tests.dsl import BOB, a_list
from tests.outbox.rigs.foreign_writes import verified
from tests.outbox.rigs.relay_rig import ARTIST, Rig


def uri_of(track: Track, collection: str | None = None) -> str:
    return RecordKey(track.did, collection or track.collection, track.rkey).uri


class ReferenceRig(Rig):
    PROJECTIONS = PROJECTIONS

    async def with_lists(self, lists: int = 1, tracks: int = 1, **fields: Any) -> list[TrackList]:
        """Delivered tracks 1, 2, ... and lists of them all, 101, 102, ..., delivered too."""
        uploaded = [self.upload(number + 1) for number in range(tracks)]
        await self.relay_once()
        items = tuple(ListItem(uri_of(each), self.cid(each)) for each in uploaded)
        made = [
            self.saves(a_list(101 + number, did=self.did, items=items, name=f"L{number}", **fields))
            for number in range(lists)
        ]
        await self.relay_once()
        self.wire.sent.clear()
        return made

    def cid(self, track: Track) -> str | None:
        """The CID that the PDS has."""
        found = self.pds.get_record(self.did, track.collection, track.rkey)
        return found["cid"] if found is not None else None

    def written(self, made: TrackList) -> list[dict[str, str]]:
        record = self.remote(made)
        assert record is not None
        return [each["subject"] for each in record["items"]]

    def loaded(self, list_id: int = 101) -> TrackList:
        with self.log.unit_of_work(self.did, ARTIST) as unit:
            return unit.load(TrackList, TrackList.create_id(list_id))

    def track(self, track_id: int = 1) -> Track:
        with self.log.unit_of_work(self.did, ARTIST) as unit:
            return unit.load(Track, Track.create_id(track_id))

    def newest_attempt(self) -> int:
        return max(row.id for row in self.rows(sa.select(delivery_attempt)))

    async def verified_lists(self) -> Counter[Outcome]:
        return await verified(self, 101, of=TrackList)

    def jobs(self) -> Sequence[Any]:
        return self.rows(sa.select(job).where(job.c.kind == REFERENCES))

    async def work(self) -> None:
        kinds = [
            *references_kinds(self.log, Threads("references", 1)),
            reaction_kind(self.log, Threads("reactions", 1)),
        ]
        await Worker(self.database, kinds, owner="worker", lease=timedelta(seconds=60)).run_once()

    def puts(self) -> Counter[str]:
        return Counter(
            json["collection"].rsplit(".", 1)[1] for name, json in self.wire.sent if name == "putRecord"
        )


class FollowerRig(ReferenceRig):
    """Alice has tracks 1, 2, ... and Bob has lists of them, 201, 202, ..."""

    async def with_followers(self, lists: int = 1, tracks: int = 1, **fields: Any) -> list[TrackList]:
        self.sign_in(BOB)
        await self.with_lists(lists=0, tracks=tracks)
        items = tuple(self.item(number + 1) for number in range(tracks))
        made = [self.makes(201 + number, *items, **fields) for number in range(lists)]
        await self.settles()
        return made

    def item(self, number: int = 1) -> ListItem:
        track = self.track(number)
        return ListItem(uri_of(track), self.cid(track))

    def makes(self, list_id: int, *items: ListItem, **fields: Any) -> TrackList:
        fields = {"list_type": "playlist", "name": f"L{list_id}", **fields}
        return self.saves(a_list(list_id, did=BOB, items=items, **fields))

    async def settles(self) -> None:
        """All relays and workers do what is due."""
        await self.relay_once()
        await self.work()
        await self.relay_once()
        self.wire.sent.clear()

    def of_bob(self, made: TrackList) -> list[dict[str, str]]:
        found = self.pds.get_record(BOB, made.collection, made.rkey)
        assert found is not None
        return [each["subject"] for each in found["value"]["items"]]

    def list_of_bob(self, list_id: int = 201) -> TrackList:
        with self.log.unit_of_work(BOB, ARTIST) as unit:
            return unit.load(TrackList, TrackList.create_id(list_id))

    def changes(self, command: Any, list_id: int = 201) -> None:
        self.command(list_id, command, did=BOB, of=TrackList)

    def followers(self) -> list[tuple[str, int]]:
        rows = self.rows(sa.select(list_follower).order_by(list_follower.c.uri, list_follower.c.list_id))
        assert {(row.did, row.author) for row in rows} <= {(self.did, BOB)}
        return [(row.uri.rpartition("/")[2], row.list_id) for row in rows]

    def waiting(self) -> Sequence[Any]:
        kinds = (FOLLOWERS, REACTION, *(each.kind for each in (OWN, ELSEWHERE)))
        return self.rows(sa.select(job).where(job.c.kind.in_(kinds)))

    def status(self, list_id: int = 201) -> ReferenceState:
        made = self.list_of_bob(list_id)
        with self.database.read() as connection:
            return status_of(connection, made).state
