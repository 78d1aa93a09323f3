"""Every state that a track gets into has a way back: the exits that docs/states.md names for what its owner is shown.

States are found breadth first, and are the same if nothing but numbers and times differs. Deleting the track, or an account
that its PDS still has, does not count as an exit: it would hide that the others are broken.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import pytest

from aggregates.errors import TrackError
from application.errors import ApplicationError
from application.records import OnPds
from outbox.mirror.states import LaneState, MirrorReason, MirrorState
from storage.errors import StorageError
from tests.dsl import COLLECTION, OLD_COLLECTION
from tests.simulation.one_track import OneTrack
from tests.simulation.one_track_steps import EXITS, GRAVE, STEPS, Step
from tests.simulation.saved_track import Saved, State
from tests.simulation.virtual_time import VirtualLoop

DEEP = bool(os.environ.get("TEST_DEEP"))
SECOND_STEPS = tuple(STEPS) if DEEP else GRAVE
FEWEST_STATES = {OLD_COLLECTION: 350, COLLECTION: 300} if DEEP else {OLD_COLLECTION: 95}
UNNEEDED = {"undelete", "recovered"}
"""Exits that no state needs which two steps reach."""
A_WHILE, LONG = "two hours", "four days"
"""Without help the relay has so long; the longest wait is for an account that is nowhere."""


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    made = VirtualLoop()
    yield made
    made.end()


@pytest.mark.parametrize("collection", FEWEST_STATES)
def test_every_state_of_a_track_has_a_way_back(loop: VirtualLoop, collection: str) -> None:
    search = Search(OneTrack(loop, collection=collection))
    reached = search.reach(STEPS, SECOND_STEPS)
    dead_ends = [saved for saved in reached if not search.has_way_back(saved)]
    unneeded = UNNEEDED if collection == OLD_COLLECTION else UNNEEDED | {"change namespace"}
    assert not dead_ends, [" -> ".join(saved.path) for saved in dead_ends]
    assert search.of_use >= set(chain(*EXITS.values())) - unneeded
    assert len(reached) >= FEWEST_STATES[collection]


def test_a_record_that_waits_for_its_namespace_has_ways_back(loop: VirtualLoop) -> None:
    it = OneTrack(loop, collection=COLLECTION)
    STEPS["others write in the old place"](it)
    STEPS["others delete"](it)
    it.restores_record(OnPds.UNKNOWN)
    it.relay_runs()
    assert (it.mirror().state, it.mirror().reason) == ("rejected", MirrorReason.MIGRATION_NEEDED)
    assert {"change namespace", "restore record"} <= set(exits(it))
    waiting = it.save()
    assert Search(it).has_way_back(waiting)
    for exit_taken in ("change namespace", "restore record", "retry"):
        it.put_back(waiting)
        if exit_taken != "change namespace":
            it.home.delete_record(it.did, OLD_COLLECTION, it.rkey)
        STEPS[exit_taken](it)
        it.relay_runs()
        if exit_taken == "change namespace":  # the other client's title is its owner's to decide
            STEPS["keep theirs"](it)
            it.relay_runs()
        assert it.is_at_rest(), exit_taken


class Search:
    def __init__(self, it: OneTrack) -> None:
        self.it = it
        self.of_use: set[str] = set()
        """Steps on the ways back."""
        self._returning: set[State] = set()
        """States without a fault from which a way back is known."""

    def reach(self, first: Iterable[str], second: Sequence[str]) -> list[Saved]:
        """Every state after one of the first steps, then one of the second ones: without TEST_DEEP, every other one in turn."""
        found, known = [self.it.save()], {self.it.state()}
        for number, saved in enumerate(found):  # grows meanwhile
            seconds = second if DEEP else second[(number + 1) % 2 :: 2]
            for name in (first, seconds, ())[len(saved.path)]:
                if self._take(saved, name) and (state := self.it.state()) not in known:
                    known.add(state)
                    found.append(self.it.save((*saved.path, name)))
        return found

    def has_way_back(self, saved: Saved) -> bool:
        """Whether, after all faults have ended, time and the exits that are shown lead to a track at rest."""
        self.it.put_back(saved)
        self.it.heal()
        start = self.it.state()
        if start in self._returning:
            return True
        ahead, seen = [self.it.save()], {start}
        for here in ahead:  # grows meanwhile
            self.it.put_back(here)
            for names in ((A_WHILE,), exits(self.it), (LONG,)):
                ways = [name for name in names if self._leads_back(here, name, seen, ahead)]
                if ways:
                    self.of_use.update(here.path, ways)
                    self._returning.add(start)
                    return True
        return False

    def _leads_back(self, here: Saved, name: str, seen: set[State], ahead: list[Saved]) -> bool:
        """Whether the step leads to a track at rest; if not, the search may go on from where it leads."""
        self._take(here, name)
        state = self.it.state()
        if state in self._returning or self.it.is_at_rest():
            self._returning.add(state)
            return True
        if state not in seen:
            seen.add(state)
            ahead.append(self.it.save((*here.path, name)))
        return False

    def _take(self, here: Saved, name: str) -> bool:
        """Take a step, and let the relay do what is due; False if it was refused."""
        self.it.put_back(here)
        step: Step = STEPS[name]
        try:
            step(self.it)
        except (TrackError, ApplicationError, StorageError):
            return False
        if self.it.is_relaying:
            self.it.relay_runs()
        return True


def exits(it: OneTrack) -> list[str]:
    """The steps that the page names for what the mirrors of the track and the account show."""
    mirror = it.mirror()
    shown = [name for each in (mirror, *mirror.left) for name in (each.state, each.reason)]
    states = [
        enum(name)
        for name in (*shown, it.lane_reason)
        for enum in (MirrorState, MirrorReason, LaneState)
        if name in set(enum)
    ]
    ways = [way for state in states for way in re.findall("`([^` ]+ [^`]+)`", state.exit)]
    steps = dict.fromkeys(step for way in ways for step in EXITS[way])
    return [step for step in steps if step != "leave" or it.account is None]
