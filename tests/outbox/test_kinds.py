"""A second kind of record goes the way of the first, beside a track with the same id."""

import io
import tokenize
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import outbox
from aggregates.published import Subject
from aggregates.track import Track
from outbox.conflicts.conflicts import conflict_of, keep_ours, keep_theirs
from outbox.mirror.requeue import reverify
from outbox.mirror.states import MirrorState
from outbox.relay.result import Outcome
from outbox.views.deliveries import deliveries
from projections.history import history_page
from service.observability.subscribers import PROJECTIONS
from tests.outbox.rigs.relay_rig import ARTIST, Rig, answered, memory_rig_on, rig_on
from tests.remarks import REMARKS, Remark, a_remark
from tests.servers.databases import ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_SQLITE]


class RemarkRig(Rig):
    """A track and a remark with the id 1, both on the PDS."""

    PROJECTIONS = PROJECTIONS

    async def begins(self) -> Remark:
        self.upload()
        remark = self.saves(a_remark(did=self.did))
        await self.relay_once()
        return remark

    def rewords(self, text: str) -> Remark:
        return self.command(1, lambda remark: remark.reword(text, at=self.clock()), of=Remark)

    def history(self) -> list[str]:
        with self.database.read() as connection:
            page = history_page(connection, self.did, 1, kind=Remark.TOPIC, newest_first=False)
        assert {entry.track_id for entry in page.items} == {None}
        return [entry.type for entry in page.items]


@pytest.fixture(params=["memory", pytest.param("real", marks=pytest.mark.pds)])
async def both(request: pytest.FixtureRequest, migrated_url: str) -> AsyncIterator[RemarkRig]:
    """A rig with both kinds, whose PDS is in memory, and a real one."""
    if request.param == "memory":
        rig = memory_rig_on(migrated_url, RemarkRig)
    else:
        pds, account = map(request.getfixturevalue, ("pds", "pds_account"))
        rig = rig_on(migrated_url, pds, account, RemarkRig)
    async with rig as made:
        yield made


def left_alone(rig: RemarkRig) -> None:
    """The track is as it was."""
    assert rig.mirror().state is MirrorState.DELIVERED
    with rig.database.read() as connection:
        assert [entry.type for entry in history_page(connection, rig.did, 1).items] == ["Created"]
    assert len(rig.attempts()) == 1


async def test_a_remark_is_created_reworded_and_deleted_and_the_track_is_left_alone(both: RemarkRig) -> None:
    remark = await both.begins()
    record = both.remote(remark)
    assert record is not None
    assert record["subject"]["record"] == remark.subject

    both.rewords("once")
    both.rewords("twice")
    assert await both.relay_once() == {Outcome.DELIVERED: 1}
    record = both.remote(remark)
    assert record is not None
    assert record["text"] == "twice"

    both.command(1, lambda remark: remark.delete(at=both.clock()), of=Remark)
    assert await both.relay_once() == {Outcome.DELIVERED: 1}
    assert both.remote(remark) is None
    both.command(1, lambda remark: remark.undelete(at=both.clock()), of=Remark)
    assert await both.relay_once() == {Outcome.DELIVERED: 1}

    assert (both.remote(remark) or {})["text"] == "twice"
    assert both.history() == ["Created", "Reworded", "Reworded", "Deleted", "Undeleted"]
    left_alone(both)


async def test_each_event_of_a_remark_says_how_it_reached_the_pds(both: RemarkRig) -> None:
    await both.begins()
    both.rewords("once")
    both.rewords("twice")
    await both.relay_once()
    mirror = both.mirror(of=Remark)
    with both.database.read() as connection:
        page = history_page(connection, both.did, 1, kind=Remark.TOPIC, newest_first=False)
        events = [(entry.position, entry.touches_record) for entry in page.items]
        told = deliveries(connection, both.did, Remark.TOPIC, 1, events, mirror=mirror)
    assert [told[position].status for position, _ in events] == ["delivered", "superseded", "delivered"]


async def test_another_client_s_edit_of_a_remark_is_held_until_its_owner_wants_ours(both: RemarkRig) -> None:
    remark = await both.begins()
    both.edits_elsewhere(remark, text="theirs")
    both.rewords("ours")
    assert await both.relay_once() == {Outcome.HELD: 1}
    assert both.mirror(of=Remark).state is MirrorState.HELD

    with both.log.unit_of_work(both.did, ARTIST) as unit:
        conflict = conflict_of(unit.connection, both.did, both.kinds["remark"], 1)
        assert conflict is not None
        assert conflict.fields == ["text"]
        keep_ours(unit, unit.load(Remark, Remark.create_id(1)), conflict)
    await both.relay_once()

    assert (both.remote(remark) or {})["text"] == "ours"
    left_alone(both)


async def test_another_client_s_edit_of_a_remark_is_adopted(both: RemarkRig) -> None:
    remark = await both.begins()
    both.edits_elsewhere(remark, text="theirs")
    with both.database.write() as connection:
        reverify(connection, [Subject(Remark.TOPIC, 1)], both.clock())
    assert await both.relay_once() == {Outcome.HELD: 1}

    with both.log.unit_of_work(both.did, ARTIST) as unit:
        conflict = conflict_of(unit.connection, both.did, both.kinds["remark"], 1)
        assert conflict is not None
        keep_theirs(unit, unit.load(Remark, Remark.create_id(1)), conflict)
    await both.relay_once()

    assert both.mirror(of=Remark).state is MirrorState.DELIVERED
    assert both.history() == ["Created", "ForeignEditObserved", "ForeignEditAdopted"]
    left_alone(both)


async def test_a_remark_whose_record_was_deleted_elsewhere_is_restored_only_on_request(
    both: RemarkRig,
) -> None:
    remark = await both.begins()
    both.pds.delete_record(both.did, REMARKS, remark.rkey)
    both.rewords("once")
    assert await both.relay_once() == {Outcome.MISSING: 1}
    assert both.mirror(of=Remark).state is MirrorState.DETACHED

    both.command(1, lambda remark: remark.restore_record(at=both.clock()), of=Remark)
    await both.relay_once()

    assert (both.remote(remark) or {})["text"] == "once"
    left_alone(both)


async def test_a_remark_that_breaks_its_lexicon_is_rejected_and_the_next_one_delivered(
    both: RemarkRig,
) -> None:
    remark = await both.begins()
    both.rewords("x" * 101)
    await both.relay_once()
    assert both.mirror(of=Remark).state is MirrorState.REJECTED
    assert both.mirror().state is MirrorState.DELIVERED

    both.rewords("short")
    await both.relay_once()
    assert (both.remote(remark) or {})["text"] == "short"


async def test_a_remark_moves_to_another_collection_and_a_track_with_its_id_does_not(both: RemarkRig) -> None:
    remark = await both.begins()
    both.command(1, lambda remark: remark.migrate_namespace("com.example.other", at=both.clock()), of=Remark)
    await both.relay_once()
    await both.relay_once()

    assert both.pds.get_record(both.did, REMARKS, remark.rkey) is None
    assert both.pds.get_record(both.did, "com.example.other", remark.rkey) is not None
    assert both.mirror(of=Remark).is_settled
    left_alone(both)


async def test_a_failing_remark_is_retried_and_no_track_with_its_id(both: RemarkRig) -> None:
    await both.begins()
    both.rewords("once")
    both.wire.faults += [answered(502, "BadGateway")]
    assert await both.relay_once() == {Outcome.FAILED: 1}
    assert both.mirror(of=Remark).failing_since is not None
    assert both.mirror().failing_since is None

    both.retry(1, of=Remark)
    assert await both.relay_once() == {Outcome.DELIVERED: 1}
    left_alone(both)


async def test_remarks_that_the_login_does_not_allow_wait_for_consent_and_tracks_go_on(
    both: RemarkRig,
) -> None:
    remark = await both.begins()
    both.rewords("once")
    both.wire.faults += [answered(403, "ScopeMissingError")]
    assert await both.relay_once() == {Outcome.FAILED: 1}
    mirror = both.mirror(of=Remark)
    assert (mirror.state, mirror.reason) == (MirrorState.PARKED, "needs_consent")

    both.command(1, lambda track: track.update_metadata({"title": "goes on"}, at=both.clock()), of=Track)
    assert await both.relay_once() == {Outcome.DELIVERED: 1}
    assert (both.remote(remark) or {})["text"] == "Remark 1"

    both.sign_in()
    assert await both.relay_once() == {Outcome.DELIVERED: 1}
    assert (both.remote(remark) or {})["text"] == "once"


async def test_several_remarks_that_the_login_does_not_allow_are_refused_as_a_batch_too(
    both: RemarkRig,
) -> None:
    await both.begins()
    several = [both.saves(a_remark(number, did=both.did)) for number in range(2, 6)]
    await both.relay_once()
    for each in several:
        both.command(each.remark_id, lambda remark: remark.reword("more", at=both.clock()), of=Remark)
    both.wire.faults += [answered(403, "ScopeMissingError") for _ in range(9)]
    await both.relay_once()
    assert {both.mirror(each.remark_id, of=Remark).reason for each in several} == {"needs_consent"}

    both.wire.faults.clear()
    both.command(1, lambda track: track.update_metadata({"title": "goes on"}, at=both.clock()), of=Track)
    assert await both.relay_once() == {Outcome.DELIVERED: 1}
    both.sign_in()
    await both.relay_once()
    assert {both.mirror(each.remark_id, of=Remark).state for each in several} == {MirrorState.DELIVERED}


def test_nothing_in_the_outbox_names_a_track_outside_its_kind_s_folder() -> None:
    package = Path(outbox.__file__).parent
    named = {
        f"{file.relative_to(package)}:{token.start[0]} {token.string}"
        for file in package.rglob("*.py")
        if not {package / "tracks", package / "reactions", package / "lists"} & {*file.parents}
        for token in tokenize.generate_tokens(io.StringIO(file.read_text("utf-8")).readline)
        if token.type == tokenize.NAME and "track" in token.string.lower()
    }
    assert named == set()
