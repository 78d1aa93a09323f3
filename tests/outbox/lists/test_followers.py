"""Lists follow records of other accounts, at most once a day, unless their owners do not want that."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa

from aggregates.lists.track_list import TrackList
from aggregates.values import ListItem, Visibility
from outbox.conflicts.conflicts import keep_newer
from outbox.lists import references
from outbox.lists.items import list_follower
from outbox.lists.newest import ReferenceState
from outbox.lists.references import FOLLOWERS, FOREIGN_REFERENCE_SECONDS
from outbox.mirror.tables import mirror_target
from outbox.pds.client import RecordKey
from outbox.relay.result import Outcome
from projections.rebuild.rebuild import rebuild
from tests.dsl import BOB, COLLECTION
from tests.outbox.rigs.foreign_writes import foreign_put, request_verify, verified
from tests.outbox.rigs.list_rigs import FollowerRig, uri_of
from tests.outbox.rigs.relay_rig import ARTIST, memory_rig_on
from tests.servers.databases import ON_BOTH, ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_SQLITE]


@pytest.fixture
async def rig(migrated_url: str) -> AsyncIterator[FollowerRig]:
    async with memory_rig_on(migrated_url, FollowerRig) as made:
        yield made


@ON_BOTH
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


@ON_BOTH
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


@ON_BOTH
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


@ON_BOTH
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
    request_verify(rig, 201, of=TrackList)
    await rig.settles()
    rig.clock.advance(seconds=FOREIGN_REFERENCE_SECONDS + 1)
    await rig.settles()
    assert rig.of_bob(made) == [*new, unknown]
    assert rig.status() == ReferenceState.CURRENT


async def test_a_followed_track_of_an_account_here_is_referred_to_as_its_pds_has_it(rig: FollowerRig) -> None:
    [made] = await rig.with_followers()
    record = rig.pds.get_record(BOB, made.collection, made.rkey)
    assert record is not None
    record["value"]["items"][0]["subject"]["cid"] = f"bafyrei{'a' * 52}"
    rig.pds.put_record(BOB, made.collection, made.rkey, record["value"])
    await verified(rig, 201, of=TrackList)
    assert rig.of_bob(made) == [vars(rig.item())]
