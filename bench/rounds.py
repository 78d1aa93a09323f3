"""Runs arms in turns, each compared with a run of the floor just before it."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Final

from bench.report import Row, Spread

Seconds = Sequence[float]
"""The durations of some operations."""


@dataclass(frozen=True)
class Effort:
    """The number of rounds, and of operations in each."""

    rounds: int
    count: int

    @property
    def is_quick(self) -> bool:
        """Whether this run only shows that the bench works."""
        return self.count < USUAL.count


USUAL: Final = Effort(rounds=7, count=30)
QUICK: Final = Effort(rounds=1, count=3)


@dataclass(frozen=True)
class Arm:
    """One way to do something; `below` limits the ratio of its median operation to the floor's."""

    name: str
    run: Callable[[int], Seconds]
    below: float | None = None


def compare(
    floor: Arm, arms: Sequence[Arm], effort: Effort, show_progress: Callable[[str], None]
) -> list[Row]:
    """Run all arms in turns, each just after the floor that it is compared with; the floor's row comes first."""
    floors: dict[str, list[Seconds]] = defaultdict(list)
    measured: dict[str, list[Seconds]] = defaultdict(list)
    for number in range(effort.rounds):
        first = number % len(arms)
        for arm in (*arms[first:], *arms[:first]):
            show_progress(f"round {number + 1} of {effort.rounds}: {arm.name}")
            floors[arm.name].append(floor.run(effort.count))
            measured[arm.name].append(arm.run(effort.count))
    every_floor = [seconds for rounds in floors.values() for seconds in rounds]
    return [
        _row(floor, every_floor, every_floor),
        *(_row(arm, measured[arm.name], floors[arm.name]) for arm in arms),
    ]


def _row(arm: Arm, rounds: Sequence[Seconds], floors: Sequence[Seconds]) -> Row:
    medians = [median(seconds) for seconds in rounds]
    return Row(
        arm=arm.name,
        milliseconds=Spread.of([1000 * each for each in medians]),
        per_second=Spread.of([1 / fmean(seconds) for seconds in rounds]),
        ratio=Spread.of([value / median(floor) for value, floor in zip(medians, floors, strict=True)]),
        below=arm.below,
    )
