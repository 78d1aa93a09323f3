"""Makes a failing schedule small: fewer steps, then less bad luck, as long as it fails in the same place."""

import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.simulation.schedule import Schedule, failure

MAX_RUNS = 400
"""At some tens of milliseconds a run."""
Place = tuple[str, str]
"""The class of an error, and the function that raised it."""


def place_of(error: Exception | None) -> Place | None:
    if error is None:
        return None
    frames = traceback.extract_tb(error.__traceback__)
    return type(error).__name__, frames[-1].name


def shrunk(schedule: Schedule, fails_at: Callable[[Schedule], Place | None] | None = None) -> Schedule:
    """Return the smallest schedule found that fails where this one does; it must fail."""
    run = fails_at or (lambda each: place_of(failure(each)))
    wanted, runs = run(schedule), 0
    assert wanted is not None, "it does not fail"
    found: Schedule | None = schedule
    while found is not None:
        schedule, found = found, None
        for smaller in _smaller(schedule):
            if (runs := runs + 1) > MAX_RUNS:
                return schedule
            if run(smaller) == wanted:
                found = smaller
                break
    return schedule


def _smaller(schedule: Schedule) -> Iterator[Schedule]:
    """Yield what is left without a part of it, the largest parts first."""
    size = len(schedule.steps)
    length = size // 2
    while length:
        for begin in range(size - length, -1, -length):
            yield replace(schedule, steps=schedule.steps[:begin] + schedule.steps[begin + length :])
        length //= 2
    if schedule.slow_threads:
        yield replace(schedule, slow_threads=0.0)
    if schedule.chance:
        yield replace(schedule, chance=0.0)
        if len(schedule.kinds) > 1:
            half = len(schedule.kinds) // 2
            yield replace(schedule, kinds=schedule.kinds[:half])
            yield replace(schedule, kinds=schedule.kinds[half:])


def as_test(schedule: Schedule, reason: str) -> str:
    """Return the entry of FAILED_ONCE in test_regressions.py that holds this schedule from now on."""
    steps = "\n".join(f"        {step}," for step in schedule.steps)
    of = ", ".join(each.__name__ for each in schedule.of)
    rest = f"{schedule.slow_threads}, {schedule.shape}, {schedule.kinds}, ({of},)"
    return (
        f"    # {reason}\n    NAME: Schedule({schedule.seed}, {schedule.chance}, (\n{steps}\n    ), {rest}),"
    )
