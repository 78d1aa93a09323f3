"""A PDS that names a time to come back is not asked before it, whatever its account does meanwhile."""

import pytest

from outbox.mirror.hosts import Hosts
from tests.simulation import host_invariants, invariants
from tests.simulation import network_faults as faults
from tests.simulation.world import World


def _edit(world: World, track_id: int) -> None:
    world.tell(track_id, lambda track: track.edit({"title": "two"}, at=world.clock()))


OVER_FOR_ALL = {"retry_after": 300, "ratelimit_limit": 3000, "ratelimit_remaining": 0, "ratelimit_reset": 300,
                "ratelimit_policy": "3000;w=300"}  # fmt: skip


def one_is_told_and_another_edits(world: World) -> None:
    """The host has had enough of us all, and says so to one account; then another one's artist edits."""
    first, second = (world.upload(did) for did in world.dids)
    world.relays[0].relay.wake()
    world.advance(5)
    world.network.plan = faults.ScriptedFaults([faults.answered(429, "RateLimitExceeded", **OVER_FOR_ALL)])
    _edit(world, first)
    world.relays[0].relay.wake()
    world.advance(5)
    _edit(world, second)
    world.relays[0].relay.wake()
    world.advance(280)


def test_what_a_host_says_to_one_account_holds_for_all():
    with World(1, relays=1, hosts=1) as world:
        one_is_told_and_another_edits(world)
        assert [each.outcome for each in world.network.passages] == ["200", "200", "429"]
        world.advance(60)
        invariants.at_the_end(world)


def test_the_invariant_fails_when_the_pause_is_forgotten(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Hosts, "record", lambda *_: None)
    with World(1, relays=1, hosts=1) as world:
        one_is_told_and_another_edits(world)
        with pytest.raises(AssertionError, match="putRecord of did:plc:b"):
            host_invariants.hosts_are_left_alone(world)
