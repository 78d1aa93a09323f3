"""Whole worlds by seed: what is promised holds, and what would break it is found."""

import os
from collections.abc import Callable

import pytest

from outbox import delivery, read_back, settle
from outbox.pds import Pds
from tests.simulation import invariants
from tests.simulation.schedule import Schedule, Step, drawn, failure
from tests.simulation.seen import Seen
from tests.simulation.world import World

DEEP = bool(os.environ.get("MASTERTAPE_TEST_DEEP"))
BATCHES, BATCH = (400, 25) if DEEP else (4, 25)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_the_pdses_agree_with_the_log_once_faults_have_ended(batch: int):
    for seed in range(batch * BATCH, (batch + 1) * BATCH):
        schedule = drawn(seed)
        if (error := failure(schedule)) is not None:
            error.add_note(f"to see it again: drawn({seed}).run()\n{schedule}")
            raise error


@pytest.mark.parametrize("seed", range(3))
def test_one_seed_is_one_story(seed: int):
    assert _story(seed) == _story(seed)


def _story(seed: int) -> list[str]:
    schedule = drawn(seed, length=20)
    with World(seed, chance=0.5) as world:
        world.slow_threads = 0.02
        for step in schedule.steps:
            step.take(world)
        invariants.at_the_end(world)
        return [str(passage) for passage in world.network.passages]


def test_a_world_without_faults_delivers_within_a_second():
    with World(1) as world:
        track_id = world.upload(world.dids[0])
        world.relays[0].relay.wake()
        world.advance(1)
        invariants.converged(Seen(world))
        world.tell(track_id, lambda track: track.delete(at=world.clock()))
        world.relays[0].relay.wake()
        world.advance(1)
        invariants.converged(Seen(world))
        assert world.repo(world.dids[0]).records == {}


def _without_swaps(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Pds._send  # noqa: SLF001

    async def send(self, did, nsid, timeout, **request):
        request.get("json", {}).pop("swapRecord", None)
        return await real(self, did, nsid, timeout, **request)

    monkeypatch.setattr(Pds, "_send", send)


def _without_intents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "our_cids", lambda *_: set())
    monkeypatch.setattr(read_back, "_is_ours", lambda *_: False)


def _without_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settle, "lock_lane", lambda *_: None)


@pytest.mark.parametrize("switch_off", [_without_swaps, _without_intents, _without_fence])
def test_a_protection_that_is_switched_off_is_missed(
    switch_off: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
):
    switch_off(monkeypatch)
    assert any(failure(drawn(seed)) is not None for seed in range(1000))


def test_a_schedule_can_be_told_again_without_its_seed():
    schedule = drawn(5)
    assert eval(str(schedule), {"Schedule": Schedule, "Step": Step}) == schedule  # noqa: S307
