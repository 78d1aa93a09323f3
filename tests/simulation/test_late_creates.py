"""A create whose response was lost may arrive late. Its swap says "there must be no record", which a delete makes true again."""

import os
from itertools import product

import pytest

from aggregates.accounts.profile import Profile
from aggregates.lists.track_list import TrackList
from aggregates.published import Published
from aggregates.reactions.comment import Comment
from aggregates.tracks.track import Track
from outbox.relay.delivery import LATE_CREATE_WINDOW
from tests.simulation import invariants
from tests.simulation import network_faults as faults
from tests.simulation.relay_patches import POLL_SECONDS
from tests.simulation.world import World

LATE = LATE_CREATE_WINDOW.total_seconds() / 2


FAULTS = {
    "a create that is lost for good": [faults.cut_before()],
    "an unanswered create": [faults.held(LATE), faults.hang()],
    "the repetition of a create": [faults.cut_after(), faults.held(LATE)],
    "the copy of a create that was answered": [faults.twice(LATE)],
}
OTHERS = (Comment, Profile, TrackList)
ALL = [*product(FAULTS, (Track, *OTHERS))]
FEW = [*product(FAULTS, (Track,)), *zip(FAULTS, OTHERS, strict=False)]


@pytest.mark.parametrize(
    ("fault", "of"), ALL if os.environ.get("TEST_DEEP") else FEW, ids=lambda it: getattr(it, "TOPIC", it)
)
def test_a_delete_waits_for_a_create_that_may_still_land(fault: str, of: type[Published]):
    """Upload, let the relay try twice, delete, and wait until everything has landed."""
    with World(1, relays=1, of=(of,)) as world:
        world.network.plan = faults.ScriptedFaults(list(FAULTS[fault]))
        track_id = world.upload(world.dids[0])
        world.work(POLL_SECONDS + 1)
        world.tell(track_id, lambda track: track.delete(at=world.clock()))
        world.work(3 * LATE_CREATE_WINDOW.total_seconds())
        invariants.at_the_end(world)


def test_a_copy_of_a_create_is_found_although_the_clock_was_set_forward():
    with World(1, relays=1) as world:
        world.network.plan = faults.ScriptedFaults([faults.twice(LATE)])
        track_id = world.upload(world.dids[0])
        world.work(3)
        world.tell(track_id, lambda track: track.delete(at=world.clock()))
        world.work(3)
        world.jump(1)
        world.work(3 * LATE_CREATE_WINDOW.total_seconds())
        invariants.at_the_end(world)


def test_a_create_of_a_relay_that_died_is_found_when_it_lands_after_the_delete():
    """A create is on its way when its relay dies; the clock is set, so that the next one need not wait for the lease."""
    with World(1, relays=1) as world:
        world.network.plan = faults.ScriptedFaults([faults.slow(LATE, 1)])
        track_id = world.upload(world.dids[0])
        world.work(1)
        world.relays[0].kill()
        world.jump(1)
        world.tell(track_id, lambda track: track.delete(at=world.clock()))
        world.start_relay()
        world.advance(3 * LATE_CREATE_WINDOW.total_seconds())
        invariants.at_the_end(world)
