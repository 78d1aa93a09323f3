"""Whole worlds by seed: every invariant holds, and fails when its protection is switched off."""

import os
import traceback
from collections.abc import Iterator

import pytest

from tests.simulation import invariants, protections, record_invariants
from tests.simulation.actions import WEIGHTS, WITH_DECISIONS, WITH_DELETIONS, WITH_REPLAYS
from tests.simulation.schedule import LENGTH, Schedule, Step, drawn, drawn_with_crashes, failure
from tests.simulation.snapshot import Snapshot
from tests.simulation.world import World

DEEP = bool(os.environ.get("TEST_DEEP"))
BATCHES, BATCH = (400, 25) if DEEP else (2, 25)
MISSED_LATE = {
    protections.without_reading_once: 50,
    protections.without_backoff: 235,
    protections.without_recognition: 46,
    protections.without_intents: 27,
}
"""The first seed whose schedule fails without the protection. The search starts there, and goes on to all other seeds."""
LENGTHS = {protections.without_backoff: 5}
"""Shorter schedules: without a pause, a longer one sends requests for a minute before they are counted at its end."""


@pytest.mark.parametrize("batch", range(BATCHES))
def test_the_pdses_agree_with_the_log_once_faults_have_ended(batch: int):
    for seed in range(batch * BATCH, (batch + 1) * BATCH):
        schedule = drawn(seed)
        if (error := failure(schedule)) is not None:
            error.add_note(f"to see it again: drawn({seed}).run()\n{schedule}")
            raise error


@pytest.mark.parametrize("batch", range(150 if DEEP else 1))
def test_of_two_conflicting_values_the_artists_choice_stays(batch: int):
    for seed in range(batch * 10, (batch + 1) * 10):
        schedule = drawn(seed, length=20, weights=WITH_DECISIONS)
        if (error := failure(schedule)) is not None:
            error.add_note(f"to see it again: drawn({seed}, 20, WITH_DECISIONS).run()\n{schedule}")
            raise error


@pytest.mark.parametrize("batch", range(150 if DEEP else 1))
def test_deleted_accounts_are_given_up_and_delay_no_other(batch: int):
    for seed in range(batch * 10, (batch + 1) * 10):
        schedule = drawn(seed, length=16, weights=WITH_DELETIONS)
        if (error := failure(schedule)) is not None:
            error.add_note(f"to see it again: drawn({seed}, 16, WITH_DELETIONS).run()\n{schedule}")
            raise error


@pytest.mark.parametrize("batch", range(150 if DEEP else 1))
def test_wiped_repositories_are_restored_whatever_happens_to_the_batches(batch: int):
    for seed in range(batch * 10, (batch + 1) * 10):
        schedule = drawn(seed, length=20, weights=WITH_REPLAYS)
        if (error := failure(schedule)) is not None:
            error.add_note(f"to see it again: drawn({seed}, 20, WITH_REPLAYS).run()\n{schedule}")
            raise error


@pytest.mark.parametrize("batch", range(100 if DEEP else 1))
def test_what_a_relay_sent_before_it_died_brings_back_no_record_that_was_deleted(batch: int):
    for seed in range(batch * 20, (batch + 1) * 20):
        schedule = drawn_with_crashes(seed)
        if (error := failure(schedule)) is not None:
            error.add_note(f"to see it again: drawn_with_crashes({seed}).run()\n{schedule}")
            raise error


@pytest.mark.parametrize("seed", range(3))
def test_one_seed_gives_one_run(seed: int):
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
        record_invariants.converged(Snapshot(world))
        world.tell(track_id, lambda track: track.delete(at=world.clock()))
        world.relays[0].relay.wake()
        world.advance(1)
        record_invariants.converged(Snapshot(world))
        assert world.repo(world.dids[0]).records == {}


@pytest.mark.parametrize("switch_off", protections.MISSED_BY, ids=lambda switch_off: switch_off.__name__)
def test_an_invariant_fails_when_its_protection_is_switched_off(
    switch_off: protections.Switch, monkeypatch: pytest.MonkeyPatch
):
    switch_off(monkeypatch)
    kept = protections.MISSED_BY[switch_off].__name__
    assert any(kept in broken(failure(story)) for story in a_thousand(switch_off))


def a_thousand(switch_off: protections.Switch) -> Iterator[Schedule]:
    """The schedules one of which must fail without the protection."""
    if switch_off in protections.MISSED_AFTER_CRASHES:
        return (drawn_with_crashes(seed) for seed in _seeds(1000, switch_off))
    return (
        drawn(seed, LENGTHS.get(switch_off, LENGTH), weights)
        for seed in _seeds(500, switch_off)
        for weights in (WEIGHTS, WITH_DECISIONS)
    )


def _seeds(count: int, switch_off: protections.Switch) -> list[int]:
    begin = MISSED_LATE.get(switch_off, 0)
    return [*range(begin, count), *range(begin)]


def broken(error: Exception | None) -> set[str]:
    """The functions in an assertion's traceback; none for another error."""
    if not isinstance(error, AssertionError):
        return set()
    return {frame.name for frame in traceback.extract_tb(error.__traceback__)}


def test_a_schedule_can_be_replayed_without_its_seed():
    schedule = drawn(5)
    assert eval(str(schedule), {"Schedule": Schedule, "Step": Step}) == schedule  # noqa: S307
