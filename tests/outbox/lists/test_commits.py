"""A list goes with the tracks that were changed with it: one commit, in which it refers to what they become."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from aggregates.track_list import TrackList
from outbox.mirror.tables import delivery_attempt
from outbox.pds.client import GET_RECORD, LIST_RECORDS
from outbox.pds.verdict import Verdict
from outbox.relay.delivery_task import BATCH_FROM
from tests.outbox.lists.test_references import ReferenceRig, both, rig, uri_of  # noqa: F401 - fixtures
from tests.outbox.rigs.foreign_writes import sent
from tests.outbox.rigs.relay_rig import LONG, Fault, answer_lost, answered, meanwhile, refused
from tests.outbox.rigs.replays import settle_all

pytestmark = pytest.mark.anyio
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


def is_current(of: ReferenceRig, made: TrackList) -> bool:
    """Whether the list has its name, and refers to its tracks as they are."""
    record = of.remote(made) or {}
    cids = {each["uri"]: each["cid"] for each in of.written(made)}
    tracks = [of.pds.get_record(of.did, *uri.split("/")[3:]) or {} for uri in cids]
    is_renamed = record["name"] == made.name and {track["value"]["album"] for track in tracks} == {"Renamed"}
    return is_renamed and [*cids.values()] == [track["cid"] for track in tracks]


@pytest.mark.parametrize("tracks", [FEW, SEVERAL])
async def test_a_list_and_its_tracks_are_one_commit(both: ReferenceRig, tracks: int) -> None:  # noqa: F811
    [made] = await renamed(both, tracks)
    begun = both.newest_attempt()
    await both.relay_once()
    assert sent(both) == ["applyWrites"]
    assert is_current(both, made)
    rows = [row for row in both.rows(delivery_attempt.select()) if row.id > begun]
    assert len({row.rev for row in rows}) == 1
    assert rows[-1].rev is not None
    assert both.mirror(101, of=TrackList).state == "delivered"
    assert await both.relay_once() == {}
    assert (await both.verified_lists())["rebased"] == 0
    assert sent(both) == ["applyWrites"]


async def test_records_of_several_kinds_are_read_at_once(
    rig: ReferenceRig,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
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


async def test_several_lists_go_with_what_they_refer_to(rig: ReferenceRig) -> None:  # noqa: F811
    lists = await renamed(rig, SEVERAL, lists=BATCH_FROM)
    await settle_all(rig)
    await rig.work()
    await settle_all(rig)
    assert sent(rig)[0] == "applyWrites"
    assert all(is_current(rig, made) for made in lists)


async def unreadable(send: Callable[[], Any]) -> httpx.Response:
    """The PDS applies it; what it answers says nothing."""
    await send()
    return httpx.Response(200, json={})


async def test_a_list_that_went_ahead_is_not_written_again_as_it_was(rig: ReferenceRig) -> None:  # noqa: F811
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


@pytest.mark.parametrize(
    "fault",
    [
        answer_lost,
        refused,
        answered(500, "InternalServerError"),
        answered(413, "PayloadTooLargeError"),
        answered(403, "ScopeMissingError"),
        answered(200, "no answer of a PDS"),
    ],
    ids=["answer lost", "refused", "500", "413", "scope", "unreadable"],
)
@pytest.mark.parametrize("tracks", [FEW, SEVERAL])
async def test_whatever_becomes_of_the_commit_all_of_it_arrives(
    rig: ReferenceRig,  # noqa: F811
    fault: Fault,
    tracks: int,
) -> None:
    [made] = await renamed(rig, tracks)
    rig.wire.faults += [fault]
    await settle_all(rig)
    assert is_current(rig, made)
    assert rig.mirror(101, of=TrackList).state == "delivered"


async def test_a_track_that_the_pds_refuses_leaves_no_reference_to_what_it_does_not_have(
    rig: ReferenceRig,  # noqa: F811
) -> None:
    [made] = await renamed(rig, FEW)
    before = rig.written(made)
    rig.wire.faults += [answered(400, "InvalidRequest")] * 2
    await rig.relay_once()
    assert rig.mirror().state == "rejected"
    assert (rig.remote(made) or {})["name"] == "Renamed"
    assert rig.written(made) == before == [{"uri": uri_of(rig.track()), "cid": rig.cid(rig.track())}]


async def test_a_login_without_lists_keeps_no_track_waiting(rig: ReferenceRig) -> None:  # noqa: F811
    await renamed(rig, SEVERAL)
    missing = answered(403, "ScopeMissingError")
    rig.wire.faults += [missing, *[meanwhile(lambda: None)] * SEVERAL, missing]
    await rig.relay_once()
    states = Counter(rig.mirror(number).state for number in range(1, SEVERAL + 1))
    assert states == {"delivered": SEVERAL}
    assert rig.mirror(101, of=TrackList).reason == "needs_consent"


async def test_another_clients_write_in_between_refuses_the_commit(rig: ReferenceRig) -> None:  # noqa: F811
    [made] = await renamed(rig, SEVERAL)
    record = {**(rig.remote(made) or {}), "mood": "blue"}
    rig.wire.faults += [meanwhile(lambda: rig.pds.put_record(rig.did, made.collection, made.rkey, record))]
    await settle_all(rig)
    assert is_current(rig, made)
    assert (rig.remote(made) or {})["mood"] == "blue"
