"""Records change their collection while requests, relays and clocks fail: at every moment one of the two records exists."""

import os

import pytest

from aggregates.tracks.track import Track
from application.records import change_namespace
from application.subjects import On, load_owned
from outbox.tracks.record import OWN_FIELDS
from tests.dsl import COLLECTION, OLD_COLLECTION
from tests.simulation import invariants
from tests.simulation.actions import WEIGHTS
from tests.simulation.convergence import heal, settle_down
from tests.simulation.relay_process import RECORDS
from tests.simulation.schedule import Schedule, drawn
from tests.simulation.world import World

BATCHES, BATCH = (40, 25) if os.environ.get("TEST_DEEP") else (1, 3)
BY_PEOPLE = ("edit", "blob", "replace audio", "gate", "artwork", "doubt", "retry", "sign in", "sign out")
BY_FATE = (
    "wait", "host", "kill", "start", "freeze", "thaw", "jump", "release", "tokens expire", "limits", "pause",
)  # fmt: skip
FAULTS = {name: WEIGHTS[name] for name in (*BY_PEOPLE, *BY_FATE)}
"""No deletes, and no other clients."""


@pytest.mark.parametrize("batch", range(BATCHES))
def test_a_moving_record_always_exists_and_ends_up_in_its_new_collection_alone(batch: int) -> None:
    for seed in range(batch * BATCH, (batch + 1) * BATCH):
        schedule = drawn(seed, weights=FAULTS)
        try:
            play(schedule, seed)
        except Exception as error:
            error.add_note(f"to see it again: play(drawn({seed}, weights=FAULTS), {seed})\n{schedule}")
            raise


def play(schedule: Schedule, seed: int) -> None:
    """A schedule in which each account has a record in the old place, and has it moved at some step."""
    with schedule.begin() as world:
        moved = [world.upload(did, collection=OLD_COLLECTION) for did in world.dids]
        for number, step in enumerate(schedule.steps):
            for place, track_id in enumerate(moved):
                if number == (seed + 3 * place) % len(schedule.steps):
                    moves(world, track_id)
            step.take(world)
        heal(world)
        until_settled(world)
        world.network.release()
        world.advance(1)
        world.verify_all()  # as a scan does: a clock set on twice ends the minute early in which late creates are waited for
        until_settled(world)
        invariants.nothing_broke(world)
        for track_id in moved:
            is_in_its_new_place_alone(world, track_id)
            was_never_nowhere(world, track_id)


def until_settled(world: World, *, hours: int = 72) -> None:
    """Let the relays work until nothing is left of what has moved either: that may wait for a limit of the PDS."""
    settle_down(world)
    for _ in range(6 * hours):
        if all(mirror.is_settled for mirror in world.mirrors().values()):
            return
        world.advance(600)


def moves(world: World, track_id: int) -> None:
    assert world.in_unit(
        track_id, lambda unit: change_namespace(unit, load_owned(unit, On(Track, track_id)), RECORDS)
    )


def is_in_its_new_place_alone(world: World, track_id: int) -> None:
    """What the log says is there, and nothing where it was."""
    track, mirror = world.state(track_id), world.mirrors()[track_id]
    assert mirror.is_settled, mirror
    records = world.repo(track.did).records
    assert (OLD_COLLECTION, track.rkey) not in records, mirror
    value = records[COLLECTION, track.rkey].value
    ours = {name: field for name, field in value.items() if name in OWN_FIELDS}
    assert ours == RECORDS.record_of(track, mirror.generation), mirror


def was_never_nowhere(world: World, track_id: int) -> None:
    track = world.state(track_id)
    there: set[str] = set()
    for commit in world.repo(track.did).commits:
        collection, rkey = commit.key
        if rkey == track.rkey:
            there = there | {collection} if commit.value is not None else there - {collection}
            assert there, f"track {track_id}: nowhere after {commit}"
