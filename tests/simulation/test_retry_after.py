"""A PDS that names a time to come back is not asked before it, whatever its account does meanwhile."""

import pytest

from outbox.mirror.hosts import Hosts
from tests.simulation import host_invariants
from tests.simulation import network_faults as faults
from tests.simulation.world import World


def _edit(world: World, track_id: int) -> None:
    world.tell(track_id, lambda track: track.edit({"title": "two"}, at=world.clock()))


OVER_FOR_ALL = {"retry_after": 300, "ratelimit_limit": 3000, "ratelimit_remaining": 0, "ratelimit_reset": 300,
                "ratelimit_policy": "3000;w=300"}  # fmt: skip


def test_the_invariant_fails_when_the_pause_is_forgotten(monkeypatch: pytest.MonkeyPatch):
    """The host has had enough of us all, and says so to one account; then another one's artist edits."""
    monkeypatch.setattr(Hosts, "record", lambda *_: None)
    with World(1, relays=1, hosts=1) as world:
        first, second = (world.upload(did) for did in world.dids)
        world.work(5)
        limit = faults.answered(429, "RateLimitExceeded", **OVER_FOR_ALL)
        world.network.plan = faults.ScriptedFaults([limit])
        _edit(world, first)
        world.work(5)
        _edit(world, second)
        world.work(280)
        with pytest.raises(AssertionError, match="putRecord of did:plc:b"):
            host_invariants.hosts_are_left_alone(world)
