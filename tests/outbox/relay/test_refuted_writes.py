"""An acknowledged write that is not there, or is another one, is as if a client had done it, and the host is doubted."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import select

from outbox.mirror.pausing import resume
from outbox.mirror.tables import pds_host
from outbox.relay.result import Outcome
from tests.dsl import COLLECTION
from tests.fake_pds.lying_pds import (
    DID_NOT_WRITE,
    Backup,
    LyingPds,
    nothing_written,
    something_else_written,
)
from tests.fake_pds.signed_in_pds import SignedInPds
from tests.outbox.rigs.foreign_writes import (
    delivered,
    foreign_delete,
    foreign_put,
    request_verify,
    scan,
    take_down,
    verified,
)
from tests.outbox.rigs.rate_limits import OVER, replies_with
from tests.outbox.rigs.relay_rig import Rig, memory_rig_on
from tests.servers.databases import ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_SQLITE]


@pytest.fixture(name="liar")
def _liar() -> LyingPds:
    return LyingPds()


@pytest.fixture
async def desk(migrated_url: str, liar: LyingPds) -> AsyncIterator[Rig]:
    async with memory_rig_on(migrated_url, pds=liar) as made:
        yield made


def refuted(rig: Rig) -> int:
    [row] = rig.rows(select(pds_host))
    found: int = row.refuted_writes
    return found


def states(rig: Rig, *ids: int) -> list[Any]:
    return [rig.mirror(each).state for each in ids]


async def test_acknowledged_creates_of_which_nothing_is_there_are_missing_and_count_against_the_host(
    desk, liar
):
    liar.lie = nothing_written
    for number in (1, 2, 3):
        desk.upload(number)
    await desk.relay_once()
    assert states(desk, 1, 2, 3) == ["delivered"] * 3

    assert (await scan(desk)).drifts == {"missing": 3}
    await desk.relay_once()

    assert states(desk, 1, 2, 3) == ["detached"] * 3
    assert desk.types() == ["Created", "RecordMissing"]
    assert refuted(desk) == 3


async def test_a_scan_compares_a_repo_whose_revision_is_the_last_one_after_an_acknowledged_write(desk, liar):
    await delivered(desk)
    await scan(desk)
    liar.lie = nothing_written
    desk.edit(title="never written")
    await desk.relay_once()

    assert (await scan(desk)).drifts == {"stale": 1}

    liar.lie = None
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}
    assert liar.get_record(desk.did, COLLECTION, desk.edit().rkey)["value"]["title"] == "never written"
    assert refuted(desk) == 1


async def test_a_record_that_is_there_as_no_client_wrote_it_is_held_and_counts_against_the_host(desk, liar):
    liar.lie = something_else_written
    track = await delivered(desk)

    await scan(desk)
    await desk.relay_once()

    assert (desk.mirror().state, desk.types()) == ("held", ["Created", "ForeignEditObserved"])
    assert desk.remote(track)["title"] == DID_NOT_WRITE
    assert refuted(desk) == 1


async def test_writes_that_are_rolled_back_later_are_found_by_the_next_scan_and_count_against_the_host(
    desk, liar
):
    await delivered(desk, 1)
    await scan(desk)
    backup = Backup.of(liar.repo(desk.did))
    await delivered(desk, 2)
    await delivered(desk, 3)
    desk.clock.advance(hours=1)
    backup.restore(liar.repo(desk.did))

    assert (await scan(desk)).drifts == {"missing": 2}
    await desk.relay_once()

    assert states(desk, 1, 2, 3) == ["delivered", "detached", "detached"]
    assert refuted(desk) == 2


async def test_a_delete_that_was_acknowledged_and_not_made_is_made_again(desk, liar):
    track = await delivered(desk)
    await scan(desk)
    liar.lie = nothing_written
    desk.command(1, lambda track: track.delete(at=desk.clock()))
    await desk.relay_once()
    liar.lie = None

    await scan(desk)
    desk.clock.advance(minutes=3)
    await desk.relay_once()

    assert (desk.remote(track), refuted(desk)) == (None, 1)


async def test_a_doubted_host_has_each_write_read_back_at_once_until_it_is_resumed(desk, liar):
    liar.lie = nothing_written
    await delivered(desk, 1)
    await verified(desk, 1)

    await delivered(desk, 2)

    assert (desk.mirror(2).state, refuted(desk)) == ("detached", 2)
    with desk.database.write() as connection:
        resume(connection, liar.url, desk.clock())
    await delivered(desk, 3)
    assert (desk.mirror(3).state, refuted(desk)) == ("delivered", 0)


@pytest.mark.pds
async def test_edits_and_deletes_of_other_clients_and_takedowns_count_against_no_host(one):
    tracks = [await delivered(one, number) for number in (1, 2, 3, 4)]
    foreign_put(one, tracks[0], title="theirs")
    foreign_delete(one, tracks[1])
    if isinstance(one.pds, SignedInPds):
        one.pds.repo(one.did).taken_down.add((COLLECTION, tracks[2].rkey))
    else:
        take_down(one, tracks[2])
    before = dict(one.remote(tracks[3]))
    one.edit(4, title="next")
    await one.relay_once()
    one.pds.put_record(one.did, COLLECTION, tracks[3].rkey, before)  # another client takes the edit back

    await scan(one)
    await one.relay_once()
    await verified(one, 1, 2, 3, 4)

    assert states(one, 1, 2, 3, 4) == ["held", "detached", "delivered", "delivered"]
    assert refuted(one) == 0


async def test_a_create_that_is_not_in_the_repo_is_missing_although_the_host_takes_it_again(desk, liar):
    liar.takes_anything = True
    await delivered(desk)
    await verified(desk)
    assert (desk.mirror().state, refuted(desk)) == ("detached", 1)


async def test_the_pause_that_a_host_asks_for_with_its_revision_is_kept(desk, liar, monkeypatch):
    track = await delivered(desk)
    foreign_put(desk, track, title="theirs")
    request_verify(desk)
    replies_with(liar, monkeypatch, "getLatestCommit", OVER)
    await desk.relay_once()
    [host] = desk.rows(select(pds_host))
    assert host.paced_until > desk.clock()


async def test_an_account_that_has_moved_brings_no_doubt_to_its_new_host(desk, liar):
    track = await delivered(desk)
    backup = Backup.of(liar.repo(desk.did))
    desk.edit(title="lost on the way")
    await desk.relay_once()
    desk.sign_in(host="https://new.example")
    backup.restore(liar.repo(desk.did))

    await verified(desk)

    assert {row.refuted_writes for row in desk.rows(select(pds_host))} == {0}
    assert desk.remote(track)["title"] == "lost on the way"
