"""A list goes with the tracks that were changed with it: one commit, in which it refers to what they become."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import httpx
import pytest

from aggregates.lists.track_list import TrackList
from aggregates.values import Visibility
from outbox.lists.references import MAX_LISTS_AT_ONCE
from outbox.mirror.tables import delivery_attempt
from outbox.pds.client import GET_RECORD, LIST_RECORDS
from outbox.pds.verdict import Verdict
from outbox.relay.batch import MAX_BATCH_BYTES
from outbox.relay.delivery_task import BATCH_FROM
from tests.outbox.rigs.foreign_writes import request_verify, sent
from tests.outbox.rigs.list_rigs import ReferenceRig, uri_of
from tests.outbox.rigs.relay_rig import LONG
from tests.outbox.rigs.replays import settle_all
from tests.outbox.rigs.wire import Fault, answer_lost, answered, as_it_is, meanwhile, refused
from tests.servers.databases import ON_BOTH, ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_SQLITE]
FEW, SEVERAL = 1, 6


async def renamed(of: ReferenceRig, tracks: int, lists: int = 1) -> list[TrackList]:
    """An album, and the albums' text of its tracks, have another title."""
    await of.with_lists(lists=lists, tracks=tracks)
    for number in range(1, tracks + 1):
        of.edit(number, album="Renamed")
    for number in range(lists):
        name = {"name": "Renamed" + " again" * number}
        of.command(101 + number, lambda it, name=name: it.edit(name, at=of.clock()), of=TrackList)
    return [of.loaded(101 + number) for number in range(lists)]


async def edited(of: ReferenceRig, tracks: int = 1) -> list[TrackList]:
    """A track of two lists is edited."""
    made = await of.with_lists(lists=2, tracks=tracks)
    of.edit(title="Edited")
    return made


def is_current(of: ReferenceRig, made: TrackList) -> bool:
    """Whether the list has its name, and refers to its tracks as they are, which their PDS has as they are here."""
    now = of.loaded(made.list_id)
    written = [each["cid"] for each in of.written(made)]
    tracks = [of.track(number + 1) for number in range(len(now.items))]
    are_here = all(
        (of.remote(track) or {})["title"] == track.title
        and (of.remote(track) or {}).get("album") == track.album
        for track in tracks
    )
    return (
        are_here
        and (of.remote(made) or {})["name"] == now.name
        and written == [of.cid(each) for each in tracks]
    )


@ON_BOTH
@pytest.mark.parametrize("tracks", [FEW, SEVERAL])
async def test_a_list_and_its_tracks_are_one_commit(rig: ReferenceRig, tracks: int) -> None:
    [made] = await renamed(rig, tracks)
    begun = rig.newest_attempt()
    await rig.relay_once()
    assert sent(rig) == ["applyWrites"]
    assert is_current(rig, made)
    rows = [row for row in rig.rows(delivery_attempt.select()) if row.id > begun]
    assert len({row.rev for row in rows}) == 1
    assert rows[-1].rev is not None
    assert rig.mirror(101, of=TrackList).state == "delivered"
    assert await rig.relay_once() == {}
    assert (await rig.verified_lists())["rebased"] == 0
    assert sent(rig) == ["applyWrites"]


@ON_BOTH
async def test_up_to_three_lists_of_an_edited_track_go_with_it(rig: ReferenceRig) -> None:
    lists = await rig.with_lists(lists=MAX_LISTS_AT_ONCE + 1)
    begun = rig.newest_attempt()
    rig.edit(title="Edited")
    await rig.relay_once()
    assert sent(rig) == ["applyWrites"]
    assert all(is_current(rig, each) for each in lists[:-1])
    rows = [row for row in rig.rows(delivery_attempt.select()) if row.id > begun]
    assert len(rows) == 1 + 2 * MAX_LISTS_AT_ONCE
    assert len({row.rev for row in rows}) == 1
    assert {(now.version, now.visible_version) for now in map(rig.loaded, (101, 102, 103))} == {(2, 1)}
    made, *since = (row for row in rig.rows(delivery_attempt.select()) if row.rkey == lists[0].rkey)
    assert all((made.gen, made.rev) < (row.gen, row.rev) for row in since), "its history stays"
    assert {rig.mirror(each.list_id, of=TrackList).state for each in lists} == {"delivered"}
    await rig.work()
    await rig.relay_once()
    assert sent(rig) == ["applyWrites", "putRecord"]
    assert all(is_current(rig, each) for each in lists)
    assert await rig.relay_once() == {}


async def test_lists_that_are_newer_than_an_edit_follow_it(rig: ReferenceRig) -> None:
    lists = await edited(rig, tracks=2)
    rig.wire.faults += [meanwhile(lambda: rig.edit(2, title="Edited too"))]
    await rig.relay_once()
    assert sent(rig) == ["applyWrites", *["putRecord"] * 3]
    assert all(is_current(rig, each) for each in lists)


async def test_a_list_too_large_for_the_commit_follows_it(rig: ReferenceRig) -> None:
    large, small = await rig.with_lists(lists=2)
    mood = "blue" * (MAX_BATCH_BYTES // 4)
    rig.pds.put_record(rig.did, large.collection, large.rkey, {**(rig.remote(large) or {}), "mood": mood})
    await rig.verified_lists()
    rig.edit(title="Edited")
    await rig.relay_once()
    assert sent(rig) == ["applyWrites", "putRecord"]
    assert is_current(rig, large)
    assert is_current(rig, small)
    assert (rig.remote(large) or {})["mood"] == mood


async def test_records_of_several_kinds_are_read_at_once(
    rig: ReferenceRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await renamed(rig, SEVERAL)
    both_begun, read = asyncio.Barrier(2), rig.delivery.pds.read

    async def together(host: str, nsid: str, *about: Any) -> Verdict:
        if nsid in {GET_RECORD, LIST_RECORDS}:
            async with asyncio.timeout(LONG):
                await both_begun.wait()
        return await read(host, nsid, *about)

    monkeypatch.setattr(rig.delivery.pds, "read", together)
    await rig.relay_once()
    assert sent(rig) == ["applyWrites"]


async def test_several_lists_go_with_what_they_refer_to(rig: ReferenceRig) -> None:
    lists = await renamed(rig, SEVERAL, lists=BATCH_FROM)
    await settle_all(rig)
    await rig.work()
    await settle_all(rig)
    assert sent(rig)[0] == "applyWrites"
    assert all(is_current(rig, made) for made in lists)


async def test_a_list_whose_items_are_taken_over_refers_to_its_tracks_as_they_are(rig: ReferenceRig) -> None:
    [made] = await rig.with_lists(tracks=2)
    track = rig.edit(title="Edited")
    record = rig.remote(made) or {}
    theirs = {**record, "items": record["items"][:1], "note": "theirs"}
    rig.pds.put_record(rig.did, made.collection, made.rkey, theirs)
    await settle_all(rig)
    assert (rig.remote(made) or {})["note"] == "theirs"
    assert rig.written(made) == [{"uri": uri_of(track), "cid": rig.cid(track)}]


async def unreadable(send: Callable[[], Any]) -> httpx.Response:
    """The PDS applies it; what it answers says nothing."""
    await send()
    return httpx.Response(200, json={})


async def test_a_list_that_went_ahead_is_not_written_again_as_it_was(rig: ReferenceRig) -> None:
    await rig.with_lists(tracks=SEVERAL)
    rig.command(101, lambda it: it.edit({"name": "Renamed"}, at=rig.clock()), of=TrackList)
    for number in range(1, SEVERAL + 1):
        rig.edit(number, album="Renamed")
    rig.wire.faults += [unreadable]
    await settle_all(rig)
    made = rig.loaded()
    assert is_current(rig, made)
    puts = [put for name, put in rig.wire.sent if name == "putRecord" and put["rkey"] == made.rkey]
    generations = [put["record"]["mastertapeGen"] for put in puts]
    assert generations == sorted(set(generations))


async def test_a_list_of_a_commit_of_unknown_end_does_not_go_back(rig: ReferenceRig) -> None:
    lists = await edited(rig)
    rig.wire.faults += [unreadable, answered(500, "InternalServerError")]
    await rig.relay_once()
    ahead = [rig.remote(each) for each in lists]
    assert rig.mirror().state != "delivered"
    request_verify(rig, *(each.list_id for each in lists), of=TrackList)
    await rig.relay_once()
    assert [rig.remote(each) for each in lists] == ahead
    await settle_all(rig)
    assert all(is_current(rig, each) for each in lists)


@pytest.mark.parametrize(
    "fault",
    [
        answer_lost,
        refused,
        answered(500, "InternalServerError"),
        answered(403, "ScopeMissingError"),
        answered(200, "no answer of a PDS"),
    ],
    ids=["answer lost", "refused", "500", "scope", "unreadable"],
)
@pytest.mark.parametrize(
    "begin",
    [partial(renamed, tracks=SEVERAL), edited],
    ids=["several renamed", "edited"],
)
async def test_whatever_becomes_of_the_commit_all_of_it_arrives(
    rig: ReferenceRig, fault: Fault, begin: Callable[[ReferenceRig], Awaitable[Sequence[TrackList]]]
) -> None:
    lists = await begin(rig)
    rig.wire.faults += [fault]
    await settle_all(rig)
    assert all(is_current(rig, each) for each in lists)
    assert {rig.mirror(each.list_id, of=TrackList).state for each in lists} == {"delivered"}


async def test_a_refused_edit_leaves_the_lists_as_they_were(rig: ReferenceRig) -> None:
    lists = await edited(rig)
    before = [rig.remote(each) for each in lists]
    rig.wire.faults += [answered(400, "InvalidRequest")] * 2
    await settle_all(rig)
    assert rig.mirror().state == "rejected"
    assert [rig.remote(each) for each in lists] == before
    assert {rig.loaded(each.list_id).version for each in lists} == {1}


def reorders(of: ReferenceRig) -> None:
    of.command(101, lambda it: it.reorder(it.items[::-1], at=of.clock()), of=TrackList)


def deletes(of: ReferenceRig) -> None:
    of.command(101, lambda it: it.delete(at=of.clock()), of=TrackList)


def undeletes(of: ReferenceRig) -> None:
    deletes(of)
    of.command(101, lambda it: it.undelete(at=of.clock()), of=TrackList)


def hides(of: ReferenceRig) -> None:
    of.command(101, lambda it: it.set_visibility(Visibility.PRIVATE, at=of.clock()), of=TrackList)


def edits_again(of: ReferenceRig) -> None:
    of.edit(title="Again")


def deletes_track(of: ReferenceRig) -> None:
    of.command(1, lambda it: it.delete(at=of.clock()))


def undeletes_track(of: ReferenceRig) -> None:
    deletes_track(of)
    of.command(1, lambda it: it.undelete(at=of.clock()))


@pytest.mark.parametrize("then", [as_it_is, answer_lost], ids=["it lands", "answer lost"])
@pytest.mark.parametrize(
    "act", [reorders, deletes, undeletes, hides, edits_again, deletes_track, undeletes_track]
)
async def test_what_happens_while_the_commit_is_on_its_way_counts(
    rig: ReferenceRig, act: Callable[[ReferenceRig], None], then: Fault
) -> None:
    await edited(rig, tracks=2)
    rig.wire.faults += [meanwhile(lambda: act(rig), then)]
    await settle_all(rig)
    await rig.work()
    await settle_all(rig)
    for made in map(rig.loaded, (101, 102)):
        tracks = {uri_of(each): rig.cid(each) for each in map(rig.track, (1, 2))}
        wanted = [{"uri": each.uri, "cid": cid} for each in made.items if (cid := tracks[each.uri])]
        assert (rig.remote(made) and rig.written(made)) == (wanted if made.wants_record else None)
        assert rig.mirror(made.list_id, of=TrackList).state == "delivered"
    track = rig.track()
    assert ((rig.remote(track) or {}).get("title")) == (None if track.deleted_at else track.title)


async def test_a_track_that_the_pds_refuses_leaves_no_reference_to_what_it_does_not_have(
    rig: ReferenceRig,
) -> None:
    [made] = await renamed(rig, FEW)
    before = rig.written(made)
    rig.wire.faults += [answered(400, "InvalidRequest")] * 2
    await rig.relay_once()
    assert rig.mirror().state == "rejected"
    assert (rig.remote(made) or {})["name"] == "Renamed"
    assert rig.written(made) == before == [{"uri": uri_of(rig.track()), "cid": rig.cid(rig.track())}]


async def test_a_login_without_lists_keeps_no_track_waiting(rig: ReferenceRig) -> None:
    await renamed(rig, SEVERAL)
    missing = answered(403, "ScopeMissingError")
    rig.wire.faults += [missing, *[meanwhile(lambda: None)] * SEVERAL, missing]
    await rig.relay_once()
    states = Counter(rig.mirror(number).state for number in range(1, SEVERAL + 1))
    assert states == {"delivered": SEVERAL}
    assert rig.mirror(101, of=TrackList).reason == "needs_consent"


async def test_a_commit_that_the_login_does_not_allow_is_not_tried_again_with_each_edit(
    rig: ReferenceRig,
) -> None:
    [made] = await renamed(rig, SEVERAL)
    rig.wire.forbidden = {made.collection}
    await rig.relay_once()
    assert sent(rig)[0] == "applyWrites"
    for title in ("once", "twice"):
        for number in range(1, SEVERAL + 1):
            rig.edit(number, title=title)
        rig.command(101, lambda it, name=title: it.edit({"name": name}, at=rig.clock()), of=TrackList)
        rig.wire.sent.clear()
        await rig.relay_once()
        await rig.relay_once()
        [(_, json)] = rig.wire.sent
        assert {each["collection"] for each in json["writes"]} == {rig.track().collection}
        assert rig.mirror(101, of=TrackList).reason == "needs_consent"

    rig.wire.forbidden = ()
    rig.sign_in()
    await rig.relay_once()
    assert is_current(rig, made)


@pytest.mark.parametrize("lists", [1, 3])
async def test_another_clients_write_in_between_refuses_the_commit(rig: ReferenceRig, lists: int) -> None:
    made = (await renamed(rig, SEVERAL, lists))[-1]
    record = {**(rig.remote(made) or {}), "mood": "blue"}
    rig.wire.faults += [meanwhile(lambda: rig.pds.put_record(rig.did, made.collection, made.rkey, record))]
    await settle_all(rig)
    assert is_current(rig, made)
    assert (rig.remote(made) or {})["mood"] == "blue"


@pytest.mark.parametrize("is_read", [False, True], ids=["before it is read", "after it was read"])
async def test_another_clients_edit_of_a_list_that_goes_along_stays(rig: ReferenceRig, is_read: bool) -> None:
    first, second = await edited(rig)
    theirs = {**(rig.remote(second) or {}), "name": "Theirs", "mood": "blue"}
    act = partial(rig.pds.put_record, rig.did, second.collection, second.rkey, theirs)
    if is_read:
        rig.wire.faults += [meanwhile(act)]
    else:
        act()
    await settle_all(rig)
    assert is_current(rig, first)
    assert rig.remote(second) == theirs
    assert (rig.mirror().state, rig.mirror(102, of=TrackList).state) == ("delivered", "held")
