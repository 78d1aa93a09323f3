"""Lists follow records of other accounts, at most once a day, unless their owners do not want that."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from aggregates.lists.track_list import TrackList
from aggregates.tracks.track import Track
from aggregates.values import ListItem, Visibility
from eventstore.jobs.table import job
from outbox.conflicts.conflicts import keep_newer
from outbox.lists import references
from outbox.lists.items import list_follower
from outbox.lists.newest import ReferenceState, status_of
from outbox.lists.references import ELSEWHERE, FOLLOWERS, FOREIGN_REFERENCE_SECONDS, OWN
from outbox.mirror.requeue import reverify
from outbox.mirror.tables import mirror_target
from outbox.pds.client import RecordKey
from outbox.relay.result import Outcome
from projections.reactions import REACTION
from projections.rebuild.rebuild import rebuild
from tests.dsl import BOB, COLLECTION, a_list
from tests.outbox.lists.test_references import ReferenceRig, uri_of
from tests.outbox.rigs.foreign_writes import foreign_put
from tests.outbox.rigs.relay_rig import ARTIST, memory_rig_on

pytestmark = pytest.mark.anyio


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
        with self.log.unit_of_work(self.did, ARTIST) as unit:
            track = unit.load(Track, Track.create_id(number))
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


@pytest.fixture
async def rig(migrated_url: str) -> AsyncIterator[FollowerRig]:
    async with memory_rig_on(migrated_url, FollowerRig) as made:
        yield made


async def test_a_list_follows_tracks_of_another_account_once_a_day_and_all_together(rig: FollowerRig) -> None:
    [made] = await rig.with_followers(tracks=2)
    for number in (1, 2):
        rig.edit(number, title="Edited")
    await rig.relay_once()
    assert rig.status() == ReferenceState.BEHIND
    await rig.work()
    waiting = rig.rows(sa.select(mirror_target).where(mirror_target.c.backfill))
    assert [each.subject_id for each in waiting] == [201]
    assert await rig.relay_once() == {Outcome.DELIVERED: 1}
    new = [rig.item(number) for number in (1, 2)]
    assert rig.of_bob(made) == [{"uri": item.uri, "cid": item.cid} for item in new]
    now = rig.list_of_bob()
    assert (now.version, now.visible_version, rig.status()) == (2, 1, ReferenceState.CURRENT)
    assert not rig.waiting()

    for _ in range(2):
        rig.edit(1, title=f"Edited {rig.clock()}")
        await rig.settles()
        assert rig.list_of_bob().version == 2
    rig.clock.advance(seconds=FOREIGN_REFERENCE_SECONDS - 60)
    await rig.settles()
    assert rig.list_of_bob().version == 2
    rig.clock.advance(seconds=61)
    await rig.settles()
    assert rig.of_bob(made)[0]["cid"] == rig.item(1).cid
    assert rig.list_of_bob().version == 3
    assert not rig.waiting()


async def test_a_list_follows_a_track_of_another_account_that_is_newer_than_a_restored_log(
    rig: FollowerRig,
) -> None:
    [made] = await rig.with_followers()
    track = rig.edit(1, title="Edited")
    await rig.settles()
    rig.clock.advance(seconds=FOREIGN_REFERENCE_SECONDS + 1)
    record, key = foreign_put(rig, track, note="theirs"), RecordKey.of_uri(uri_of(track))
    with rig.log.unit_of_work(rig.did, ARTIST) as unit:
        keep_newer(unit, key, rig.cid(track), record, rig.kinds)
    await rig.settles()
    assert rig.of_bob(made) == [{"uri": key.uri, "cid": rig.cid(track)}]


async def test_the_first_time_is_at_once_for_each_list(rig: FollowerRig) -> None:
    await rig.with_followers()
    rig.edit(1, title="Edited")
    await rig.settles()
    other = rig.makes(202, rig.item(1))
    await rig.settles()
    rig.edit(1, title="Again")
    await rig.settles()
    assert [rig.list_of_bob(each).version for each in (201, 202)] == [2, 2]
    assert rig.of_bob(other)[0]["cid"] == rig.item(1).cid


async def test_a_list_that_does_not_follow_stays_until_it_does(rig: FollowerRig) -> None:
    [made] = await rig.with_followers(follow=False)
    before = rig.of_bob(made)
    rig.edit(1, title="Edited")
    await rig.settles()
    rig.clock.advance(seconds=FOREIGN_REFERENCE_SECONDS + 1)
    await rig.settles()
    assert (rig.of_bob(made), rig.status()) == (before, ReferenceState.UNFOLLOWED)
    assert rig.followers() == []
    assert not rig.waiting()

    rig.changes(lambda it: it.edit({"follow": True}, at=rig.clock()))
    await rig.settles()
    assert rig.of_bob(made) == [{"uri": rig.item(1).uri, "cid": rig.item(1).cid}] != before


async def test_a_track_whose_record_is_not_written_yet_joins_even_where_none_is_followed(
    rig: FollowerRig,
) -> None:
    await rig.with_followers(tracks=0, lists=0)
    track = rig.upload(1)
    made = rig.makes(201, ListItem(uri_of(track), None), follow=False)
    await rig.work()
    await rig.settles()
    assert rig.of_bob(made) == [{"uri": uri_of(track), "cid": rig.cid(track)}]
    assert rig.followers() == [], "from then on it stays as it is"


async def test_a_deleted_track_of_another_account_stays_as_it_was_and_follows_again_when_it_is_back(
    rig: FollowerRig,
) -> None:
    [made] = await rig.with_followers()
    before = rig.of_bob(made)
    rig.command(1, lambda it: it.delete(at=rig.clock()))
    await rig.settles()
    assert (rig.of_bob(made), rig.status()) == (before, ReferenceState.CURRENT)
    assert not rig.waiting()
    rig.command(1, lambda it: it.undelete(at=rig.clock()))
    rig.edit(1, title="Edited")
    await rig.settles()
    assert rig.of_bob(made)[0]["cid"] == rig.item(1).cid != before[0]["cid"]


async def test_a_track_in_another_collection_is_followed_there(rig: FollowerRig) -> None:
    [made] = await rig.with_followers()
    track = rig.command(1, lambda it: it.migrate_namespace("new.collection.track", at=rig.clock()))
    await rig.relay_once()
    await rig.settles()
    assert rig.of_bob(made)[0]["uri"] == uri_of(track, "new.collection.track")
    assert rig.followers() == [(track.rkey, 201)]


async def test_who_follows_is_told_at_the_record_s_account(rig: FollowerRig) -> None:
    await rig.with_followers(lists=2, tracks=2)
    first, second = (rig.item(number).uri for number in (1, 2))
    keys = [uri.rpartition("/")[2] for uri in (first, second)]
    assert rig.followers() == [(key, number) for key in keys for number in (201, 202)]
    rig.changes(lambda it: it.remove(first, at=rig.clock()))
    rig.changes(lambda it: it.set_visibility(Visibility.PRIVATE, at=rig.clock()), 202)
    await rig.settles()
    assert rig.followers() == [(keys[1], 201)]
    rig.changes(lambda it: it.delete(at=rig.clock()))
    rig.changes(lambda it: it.set_visibility(Visibility.PUBLIC, at=rig.clock()), 202)
    await rig.settles()
    assert rig.followers() == [(key, 202) for key in keys]


async def test_a_list_that_is_made_while_its_track_is_written_is_not_left_behind(rig: FollowerRig) -> None:
    await rig.with_followers(lists=0)
    old = rig.item(1)
    rig.edit(1, title="Edited")
    await rig.relay_once()
    made = rig.makes(201, old)
    await rig.settles()
    assert rig.of_bob(made)[0]["cid"] == rig.item(1).cid != old.cid


async def test_an_account_that_is_told_twice_does_nothing_the_second_time(rig: FollowerRig) -> None:
    await rig.with_followers()
    rig.edit(1, title="Edited")
    await rig.settles()
    with rig.database.write() as connection:
        connection.execute(sa.update(list_follower).values(cid="bafyold"))
    rig.edit(1, title="Again")
    for _ in range(2):
        await rig.settles()
    rig.clock.advance(seconds=FOREIGN_REFERENCE_SECONDS + 1)
    await rig.settles()
    assert rig.list_of_bob().version == 3
    assert not rig.waiting()


async def test_a_follower_whose_record_changes_again_is_told_after_all_others(
    rig: FollowerRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.with_followers(tracks=3)
    uris = sorted(rig.item(number).uri for number in (1, 2, 3))
    is_old = list_follower.c.cid == "bafyold"
    make_old, request = sa.update(list_follower).values(cid="bafyold"), references.request
    untold: list[list[int]] = []

    def tell(connection: sa.Connection, *of: Any) -> None:
        old = connection.scalars(sa.select(list_follower.c.uri).where(is_old)).all()
        untold.append(sorted(uris.index(each) for each in old))
        if len(untold) == 2:
            connection.execute(make_old.where(list_follower.c.uri == uris[0]))
        request(connection, *of)

    with rig.database.write() as connection:
        connection.execute(make_old)
        request(connection, FOLLOWERS, rig.did, rig.clock())
    monkeypatch.setattr(references, "FOLLOWERS_AT_ONCE", 1)
    monkeypatch.setattr(references, "request", tell)
    await rig.work()
    assert untold == [[0, 1, 2], [1, 2], [0, 2], [0]]
    assert not rig.waiting()


async def test_a_rebuild_finds_who_follows(rig: FollowerRig) -> None:
    await rig.with_followers(lists=2)
    known = rig.followers()
    with rig.database.write() as connection:
        connection.execute(sa.update(list_follower).values(list_id=7).where(list_follower.c.list_id == 201))
        connection.execute(sa.delete(list_follower).where(list_follower.c.list_id == 202))
    rebuild(rig.log, [each for each in rig.log.projections if each.name == "list_item"])
    assert rig.followers() == known
    assert COLLECTION in rig.rows(sa.select(list_follower.c.uri))[0].uri


async def test_an_edit_of_a_track_in_no_list_requests_nothing(rig: FollowerRig) -> None:
    await rig.with_followers(tracks=2, lists=0)
    rig.makes(201, rig.item(2))
    await rig.settles()
    rig.edit(1, title="Edited")
    await rig.relay_once()
    assert not rig.waiting()


async def test_a_list_with_items_taken_over_follows_an_older_reference_of_theirs_a_day_later(
    rig: FollowerRig,
) -> None:
    [made] = await rig.with_followers()
    old = rig.of_bob(made)
    rig.edit(1, title="Edited")
    await rig.settles()
    new = rig.of_bob(made)
    assert new != old
    rig.clock.advance(seconds=FOREIGN_REFERENCE_SECONDS + 1)
    record = (rig.pds.get_record(BOB, made.collection, made.rkey) or {})["value"]
    unknown = {"uri": f"at://did:plc:carol/{COLLECTION}/1", "cid": new[0]["cid"]}
    theirs = {**record, "items": [{"subject": each} for each in (*old, unknown)]}
    rig.pds.put_record(BOB, made.collection, made.rkey, theirs)
    with rig.database.write() as connection:
        reverify(connection, TrackList.subjects([201]), rig.clock())
    await rig.settles()
    rig.clock.advance(seconds=FOREIGN_REFERENCE_SECONDS + 1)
    await rig.settles()
    assert rig.of_bob(made) == [*new, unknown]
    assert rig.status() == ReferenceState.CURRENT
