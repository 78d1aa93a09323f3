"""Arms that take turns in rounds, each held against the floor as it was just before."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Final

from bench.report import Row, Spread

Seconds = Sequence[float]
"""How long each of some operations took."""


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    rounds: int
    count: int

    @property
    def is_quick(self) -> bool:
        """Whether this only shows that it works."""
        return self.count < USUAL.count


USUAL: Final = Effort(rounds=7, count=30)
QUICK: Final = Effort(rounds=1, count=3)


@dataclass(frozen=True)
class Arm:
    """One way to do something, and how many times as long as the floor its median operation may take."""

    name: str
    run: Callable[[int], Seconds]
    below: float | None = None


def compare(floor: Arm, arms: Sequence[Arm], effort: Effort, tell: Callable[[str], None]) -> list[Row]:
    """Let all take turns, each just after the floor, which it is held against; the floor's row comes first."""
    floors: dict[str, list[Seconds]] = defaultdict(list)
    taken: dict[str, list[Seconds]] = defaultdict(list)
    for number in range(effort.rounds):
        first = number % len(arms)
        for arm in (*arms[first:], *arms[:first]):
            tell(f"round {number + 1} of {effort.rounds}: {arm.name}")
            floors[arm.name].append(floor.run(effort.count))
            taken[arm.name].append(arm.run(effort.count))
    every_floor = [seconds for rounds in floors.values() for seconds in rounds]
    return [
        _row(floor, every_floor, every_floor),
        *(_row(arm, taken[arm.name], floors[arm.name]) for arm in arms),
    ]


def _row(arm: Arm, rounds: Sequence[Seconds], floors: Sequence[Seconds]) -> Row:
    medians = [median(seconds) for seconds in rounds]
    return Row(
        arm=arm.name,
        milliseconds=Spread.of([1000 * each for each in medians]),
        per_second=Spread.of([1 / fmean(seconds) for seconds in rounds]),
        ratio=Spread.of([mine / median(theirs) for mine, theirs in zip(medians, floors, strict=True)]),
        below=arm.below,
    )
