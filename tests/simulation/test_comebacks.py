"""A PDS that says when to come back is not asked before, whatever its account does meanwhile."""

from collections.abc import Callable

import pytest

from tests.simulation import fates, invariants
from tests.simulation.world import World


def _edit(world: World, track_id: int) -> None:
    world.tell(track_id, lambda track: track.update_metadata({"title": "two"}, at=world.clock()))


def _sign_in(world: World, track_id: int) -> None:
    world.sign_in(world.tracks[track_id])


def _sign_out_and_in(world: World, track_id: int) -> None:
    world.sign_out(world.tracks[track_id])
    world.sign_in(world.tracks[track_id])


@pytest.mark.parametrize("act", [_edit, _sign_in, _sign_out_and_in], ids=lambda act: act.__name__)
def test_nothing_is_sent_before_the_pds_said_so(act: Callable[[World, int], None]):
    with World(1, relays=1) as world:
        world.network.plan = fates.Script([fates.answered(429, "RateLimitExceeded", retry_after=600)])
        track_id = world.upload(world.dids[0])
        world.relays[0].relay.wake()
        world.advance(1)
        act(world, track_id)
        world.relays[0].relay.wake()
        world.advance(590)
        assert len(world.network.passages) == 1
        world.advance(60)
        invariants.at_the_end(world)
