"""Verifications of held and of rejected records."""

import pytest

from outbox.relay.result import Outcome
from tests.outbox.rigs.foreign_writes import delivered, events, foreign_delete, foreign_put, sent, verified
from tests.outbox.rigs.relay_rig import RECORDS, Rig, answered

pytestmark = pytest.mark.anyio


async def test_of_a_held_record_the_same_edit_is_nothing_new_and_another_one_is(desk: Rig) -> None:
    track = await delivered(desk)
    foreign_put(desk, track, title="foreign")
    await verified(desk)
    assert await verified(desk) == {Outcome.SEEN: 1}
    assert events(desk).count("ForeignEditObserved") == 1
    foreign_put(desk, track, title="again")
    assert await verified(desk) == {Outcome.HELD: 1}
    assert events(desk).count("ForeignEditObserved") == 2
    assert desk.mirror().state == "held"


async def test_an_edit_that_was_taken_back_is_held_no_longer(desk: Rig) -> None:
    track = await delivered(desk)
    ours = desk.remote(track)
    foreign_put(desk, track, title="foreign")
    await verified(desk)
    foreign_put(desk, track, **(ours or {}))
    assert await verified(desk) == {Outcome.DELIVERED: 1}
    assert (desk.mirror().state, sent(desk)) == ("delivered", [])
    assert events(desk) == ["Created", "ForeignEditObserved", "ForeignEditWithdrawn"]


async def test_the_same_edit_is_observed_again_after_it_was_withdrawn(desk: Rig) -> None:
    track = await delivered(desk)
    ours = desk.remote(track)
    for fields in ({"title": "foreign"}, ours or {}, {"title": "foreign"}):
        foreign_put(desk, track, **fields)
        await verified(desk)
    assert desk.mirror().state == "held"
    assert events(desk)[-2:] == ["ForeignEditWithdrawn", "ForeignEditObserved"]


async def test_an_edit_that_waited_for_a_held_record_is_sent_when_that_was_taken_back(desk: Rig) -> None:
    track = await delivered(desk)
    ours = desk.remote(track)
    foreign_put(desk, track, title="foreign")
    await verified(desk)
    track = desk.edit(album="waited")
    assert await desk.relay_once() == {}
    foreign_put(desk, track, **(ours or {}))
    assert await verified(desk) == {Outcome.DELIVERED: 1}
    assert desk.remote(track) == RECORDS.record_of(track, desk.mirror().generation)


async def test_a_held_record_that_another_client_deletes_is_detached(desk: Rig) -> None:
    track = await delivered(desk)
    foreign_put(desk, track, title="foreign")
    await verified(desk)
    foreign_delete(desk, track)
    assert await verified(desk) == {Outcome.MISSING: 1}
    assert desk.mirror().state == "detached"


async def test_a_record_that_is_back_as_we_wrote_it_is_detached_no_longer(desk: Rig) -> None:
    track = await delivered(desk)
    ours = desk.remote(track)
    foreign_delete(desk, track)
    await verified(desk)
    desk.edit(album="waited")
    assert await desk.relay_once() == {}
    foreign_put(desk, track, **(ours or {}))
    assert await verified(desk) == {Outcome.DELIVERED: 1}
    assert (desk.remote(track) or {})["album"] == "waited"
    assert desk.mirror().state == "delivered"
    assert events(desk) == ["Created", "RecordMissing", "MetadataUpdated", "ForeignEditWithdrawn"]


async def test_a_detached_record_stays_detached_whatever_else_comes(desk: Rig) -> None:
    track = await delivered(desk)
    ours = desk.remote(track)
    foreign_delete(desk, track)
    await verified(desk)
    foreign_put(desk, track, **{**(ours or {}), "title": "foreign"})
    assert await verified(desk) == {Outcome.SEEN: 1}
    assert (desk.mirror().state, sent(desk)) == ("detached", ["putRecord"])  # which asked whether it is gone
    assert events(desk) == ["Created", "RecordMissing"]


async def test_a_verification_of_a_rejected_record_sends_nothing_and_keeps_foreign_fields(desk: Rig) -> None:
    track = await delivered(desk)
    desk.wire.faults += [answered(400, "InvalidRecord")]
    desk.edit(title="refused")
    await desk.relay_once()
    desk.wire.sent.clear()
    foreign_put(desk, track, x=1)
    assert await verified(desk) == {Outcome.REBASED: 1}
    assert (desk.mirror().state, sent(desk)) == ("rejected", [])
    track = desk.edit(title="mended")
    await desk.relay_once()
    assert desk.remote(track) == {**RECORDS.record_of(track, desk.mirror().generation), "x": 1}
    assert sent(desk) == ["putRecord"]


async def test_a_verification_of_a_rejected_record_finds_foreign_changes(desk: Rig) -> None:
    track = await delivered(desk)
    desk.wire.faults += [answered(400, "InvalidRecord")]
    desk.edit(title="refused")
    await desk.relay_once()
    foreign_put(desk, track, title="foreign")
    assert await verified(desk) == {Outcome.HELD: 1}
    foreign_delete(desk, track)
    assert await verified(desk) == {Outcome.MISSING: 1}
    assert desk.mirror().state == "detached"
