"""Every state that a track gets into has a way back: the exits that docs/states.md names for what its owner is shown.

States are found breadth first, and are the same if nothing but numbers and times differs.
"""

import logging
import os
import re
from collections.abc import Iterator

import pytest

from aggregates.errors import TrackError
from application.errors import ApplicationError
from outbox.mirror.states import LaneState, MirrorReason, MirrorState
from storage.errors import StorageError
from tests.dsl import COLLECTION, OLD_COLLECTION
from tests.simulation.one_track import OneTrack, Saved, State
from tests.simulation.one_track_steps import EXITS, STEPS, Step
from tests.simulation.virtual_time import VirtualLoop

DEEP = bool(os.environ.get("TEST_DEEP"))
DEPTH = 3 if DEEP else 2
BEGINNINGS = (OLD_COLLECTION, COLLECTION) if DEEP else (OLD_COLLECTION,)
FEWEST_STATES = 300
NOTHING, A_WHILE, LONG = "nothing", "two hours", "four days"
"""Without help the relay has so long; the longest wait is for an account that is nowhere."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Thousands of deliveries are logged, and to capture that takes longer than to make them."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.timeout(3600 if DEEP else 600)
@pytest.mark.parametrize("collection", BEGINNINGS)
def test_every_state_of_a_track_has_a_way_back(collection: str) -> None:
    loop = VirtualLoop()
    try:
        search = Search(OneTrack(loop, collection=collection))
        reached = search.reach(DEPTH)
        dead_ends = [saved for saved in reached if not search.has_way_back(saved)]
    finally:
        loop.end()
    assert len(reached) >= FEWEST_STATES
    assert not dead_ends, [" -> ".join(saved.path) for saved in dead_ends]


class Search:
    """Reaches states, and finds the way back from each."""

    def __init__(self, it: OneTrack) -> None:
        self.it = it
        self._returning: set[State] = set()
        """States without a fault from which a way back is known."""

    def reach(self, depth: int) -> list[Saved]:
        """Every state within so many steps, the nearest first."""
        found, known = [self.it.save()], {self.it.state()}
        for saved in found:  # grows meanwhile
            for name, step in STEPS.items() if len(saved.path) < depth else ():
                self.it.put_back(saved)
                if self._take(step) and (state := self.it.state()) not in known:
                    known.add(state)
                    found.append(self.it.save((*saved.path, name)))
        return found

    def has_way_back(self, saved: Saved) -> bool:
        """Whether, after all faults have ended, time and the exits that are shown lead to a track at rest."""
        self.it.put_back(saved)
        self.it.heal()
        start = self.it.state()
        ahead, seen = [self.it.save()], {start}
        for here in ahead:  # grows meanwhile
            self.it.put_back(here)
            for name in (NOTHING, A_WHILE, *dict.fromkeys(exits(self.it)), LONG):
                self.it.put_back(here)
                self._take(STEPS[name])
                if (state := self.it.state()) in self._returning or self.it.is_at_rest():
                    self._returning |= {start, state}
                    return True
                if state not in seen:
                    seen.add(state)
                    ahead.append(self.it.save())
        return False

    def _take(self, step: Step) -> bool:
        """Take a step, and let the relay do what is due; False if it was refused."""
        try:
            step(self.it)
        except (TrackError, ApplicationError, StorageError):
            return False
        if self.it.is_relaying:
            self.it.relay_runs()
        return True


def exits(it: OneTrack) -> Iterator[str]:
    """The steps that the page names for what the mirrors of the track and the account show."""
    mirror = it.mirror()
    shown = [name for each in (mirror, *mirror.left) for name in (each.state, each.reason)]
    for name in (*shown, it.lane_reason):
        for enum in (MirrorState, MirrorReason, LaneState):
            text = enum(name).exit if name in set(enum) else ""
            for way in re.findall("`([^`]+)`", text):
                yield from EXITS.get(way, ())
