"""Whole worlds by seed: every invariant holds, and fails when its protection is switched off."""

import os
import traceback
from collections.abc import Iterator

import pytest

from service.config.settings import Settings
from service.wiring.log import record_kinds
from tests.simulation import protections
from tests.simulation.actions import WEIGHTS, WITH_DECISIONS, WITH_DELETIONS, WITH_REPLAYS
from tests.simulation.kinds import ALL_KINDS
from tests.simulation.relay_process import URLS
from tests.simulation.schedule import (
    LENGTH,
    Schedule,
    drawn,
    drawn_of_all_kinds,
    drawn_with_crashes,
    failure,
    swarm,
)
from tests.simulation.shrinking import as_test, shrunk

DEEP = bool(os.environ.get("TEST_DEEP"))
SEARCHES = {
    "drawn(seed)": (drawn, 5, 1000),
    "drawn(seed, 20, WITH_DECISIONS)": (lambda seed: drawn(seed, 20, WITH_DECISIONS), 2, 450),
    "drawn(seed, 16, WITH_DELETIONS)": (lambda seed: drawn(seed, 16, WITH_DELETIONS), 2, 450),
    "drawn(seed, 20, WITH_REPLAYS)": (lambda seed: drawn(seed, 20, WITH_REPLAYS), 2, 450),
    "drawn_with_crashes(seed)": (drawn_with_crashes, 2, 1000),
    "drawn_of_all_kinds(seed)": (drawn_of_all_kinds, 2, 450),
    "swarm(seed)": (swarm, 2, 1500),
}
"""What happens: anything; decisions about foreign edits; deletions of accounts; wiped repositories; crashes of relays; all kinds of records; another half
of all that with each seed. With the numbers of seeds, without TEST_DEEP and with it."""
MISSED_LATE = {
    protections.without_reading_once: 64,
    protections.without_backoff: 235,
    protections.without_recognition: 132,
    protections.without_intents: 33,
    protections.without_verification: 2,
}
"""The first seed whose schedule fails without the protection. The search starts there, and goes on to all other seeds."""
LENGTHS = {protections.without_backoff: 5}
"""Shorter schedules: without a pause, a longer one sends requests for a minute before they are counted at its end."""


@pytest.mark.timeout(3600 if DEEP else 120)
@pytest.mark.parametrize("draw", SEARCHES)
def test_every_invariant_holds_whatever_happens(draw: str):
    """`draw` is how to see a failure again, with its seed."""
    make, few, many = SEARCHES[draw]
    for seed in range(many if DEEP else few):
        schedule = make(seed)
        if (error := failure(schedule)) is not None:
            error.add_note(f"to see it again, seed {seed}: {draw}.run(); for test_regressions.py:")
            error.add_note(as_test(shrunk(schedule), f"found by {draw}, seed {seed}"))
            raise error


def test_worlds_make_every_kind_of_record_that_the_service_writes():
    written = record_kinds(Settings(), URLS)
    assert {each.aggregate for each in written} == {*ALL_KINDS}


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
    if switch_off in protections.MISSED_BESIDE_OTHER_KINDS:
        return map(drawn_of_all_kinds, _seeds(1000, switch_off))
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
