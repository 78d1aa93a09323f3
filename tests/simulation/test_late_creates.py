"""A create whose answer was lost may land late. Its swap says "there must be nothing", which a delete makes true again."""

from outbox.delivery import SETTLING
from tests.simulation import fates, invariants
from tests.simulation.fates import Fate
from tests.simulation.relay_patches import POLL_SECONDS
from tests.simulation.world import World

LATE = SETTLING.total_seconds() / 2


def story(*fates_of_requests: Fate) -> None:
    """Upload, let the relay try twice, delete, and wait until everything has landed."""
    with World(1, relays=1) as world:
        world.network.plan = fates.Script(fates_of_requests)
        track_id = world.upload(world.dids[0])
        world.relays[0].relay.wake()
        world.advance(POLL_SECONDS + 1)
        world.tell(track_id, lambda track: track.delete(at=world.clock()))
        world.relays[0].relay.wake()
        world.advance(3 * SETTLING.total_seconds())
        invariants.at_the_end(world)


def test_a_create_that_is_lost_for_good_is_not_missed():
    story(fates.cut_before())


def test_a_delete_waits_for_a_create_that_nobody_has_answered():
    story(fates.held(LATE), fates.hang())


def test_a_delete_waits_for_the_repetition_of_a_create():
    story(fates.cut_after(), fates.held(LATE))


def test_a_delete_waits_for_the_copy_of_a_create_that_was_answered():
    story(fates.twice(LATE))


def test_a_copy_of_a_create_is_found_although_the_clock_was_set_on_meanwhile():
    with World(1, relays=1) as world:
        world.network.plan = fates.Script([fates.twice(LATE)])
        track_id = world.upload(world.dids[0])
        world.relays[0].relay.wake()
        world.advance(3)
        world.tell(track_id, lambda track: track.delete(at=world.clock()))
        world.relays[0].relay.wake()
        world.advance(3)
        world.jump(1)
        world.relays[0].relay.wake()
        world.advance(3 * SETTLING.total_seconds())
        invariants.at_the_end(world)
