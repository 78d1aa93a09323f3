"""A failing schedule is shrunk to the few steps that matter, and printed as a test."""

import pytest

from tests.simulation import protections
from tests.simulation.schedule import Schedule, Step, drawn, failure
from tests.simulation.shrinking import as_test, place_of, shrunk


def test_a_schedule_that_fails_without_a_protection_keeps_the_steps_that_fail(
    monkeypatch: pytest.MonkeyPatch,
):
    protections.without_swaps(monkeypatch)
    failing = next(each for each in map(drawn, range(500)) if failure(each) is not None)
    found = shrunk(failing)
    assert place_of(failure(found)) == place_of(failure(failing))
    assert len(found.steps) < len(failing.steps) // 2
    assert "foreign" in {step.act for step in found.steps}, "nothing else is overwritten"


def test_steps_that_do_not_matter_and_bad_luck_that_does_not_go():
    steps = tuple(Step(act, number, 1.0) for number, act in enumerate("abcdefghijk"))

    def fails_at(schedule: Schedule):
        acts = [step.act for step in schedule.steps]
        return ("AssertionError", "here") if {"c", "h"} <= set(acts) else None

    found = shrunk(Schedule(1, 0.5, steps, 0.02), fails_at)
    assert [step.act for step in found.steps] == ["c", "h"]
    assert (found.chance, found.slow_threads) == (0.0, 0.0)


def test_a_schedule_is_printed_as_the_entry_that_makes_it_again():
    schedule = drawn(3)
    comment, _, entry = as_test(schedule, "why").partition("\n")
    assert comment.strip() == "# why"
    names = {"Schedule": Schedule, "Step": Step, **{kind.__name__: kind for kind in schedule.of}}
    made = eval(entry.strip().removeprefix("NAME: ").rstrip(","), names)  # noqa: S307 - our own text
    assert made == schedule
