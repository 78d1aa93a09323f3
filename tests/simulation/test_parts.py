"""How soon a lane starts whose account is in one of sixteen parts, while time passes at once."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from eventstore.coordination import due_parts
from eventstore.streams.buckets import bucket_of, divided
from outbox.relay import relay
from tests.outbox.rigs.working_relay import WorkingRelay
from tests.simulation import relay_patches
from tests.simulation.idle_polls import IdlePolls
from tests.simulation.network import WRITES
from tests.simulation.world import World

EDITS = 100


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Its relays poll as those of a service do, and nothing but a test wakes them."""
    monkeypatch.setattr(due_parts, "parts_of", lambda _: divided(16))
    monkeypatch.setattr(relay_patches, "IDLE_SECONDS", due_parts.IDLE_SECONDS)
    monkeypatch.setattr(relay_patches, "POLL_SECONDS", relay.BUSY_POLL_SECONDS)
    monkeypatch.setattr(IdlePolls, "wrap", lambda _polls, look, _rows: look)
    monkeypatch.setattr(IdlePolls, "wrap_due", lambda _polls, look: look)
    monkeypatch.setattr(WorkingRelay, "_tend", lambda _: asyncio.Event().wait())
    monkeypatch.setattr(World, "wake", lambda _: None)
    with World(1, accounts=26) as made:
        yield made


def waits(world: World, committed: Callable[[int], None]) -> list[float]:
    """Seconds from each edit, at any time and of any account, to the first request with which a relay brings it to the PDS."""
    ids, edits = list[int](), list[tuple[str, float]]()
    for did in world.dids:
        ids.append(world.upload(did))
        world.advance(world.dice.uniform(0, 4))
    for number in range(EDITS):
        did = world.owners[track_id := world.dice.choice(ids)]
        title = {"title": f"take {number}"}
        assert world.tell(track_id, lambda track, title=title: track.edit(title, at=world.clock()))
        edits.append((did, world.loop.time()))
        committed(bucket_of(did))
        world.advance(world.dice.uniform(0, 4))
    world.advance(60)
    sent = [(each.did, each.sent_at) for each in world.network.passages if each.call in WRITES]
    return sorted(
        min(at for of, at in sent if of == did and at >= edited_at) - edited_at for did, edited_at in edits
    )


def test_ninety_nine_of_a_hundred_due_lanes_start_within_a_second(world: World) -> None:
    assert waits(world, world.relays[0].relay.wake)[EDITS * 99 // 100] <= 1


def test_every_lane_whose_wake_was_lost_starts_within_fifteen_seconds(world: World) -> None:
    longest = waits(world, lambda _: None)[-1]
    assert due_parts.IDLE_SECONDS / 2 < longest <= 15
