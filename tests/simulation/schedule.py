"""A schedule: the actions of artists, hosts, clocks and processes, step by step, drawn from one seed.

Each step has its own random numbers, so that leaving one out changes no other and a failing schedule can be shrunk.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

from aggregates.published import Published
from aggregates.tracks.track import Track
from outbox.relay.delivery import LATE_CREATE_WINDOW
from tests.simulation import invariants
from tests.simulation.actions import ACTS, OF_ALL_KINDS, WEIGHTS, WITH_CRASHES, WITH_DELETIONS, WITH_REPLAYS
from tests.simulation.kinds import ALL_KINDS
from tests.simulation.network_faults import FAULTS, LATE
from tests.simulation.world import World

Shape = tuple[int, int, int]
SHAPES: tuple[Shape, ...] = ((2, 2, 4), (2, 1, 1), (3, 2, 2))
"""How many accounts at how many hosts, and how many lanes a host may have at once."""
PAUSES = (0.0, 0.005, 0.015, 0.03, 0.1, 1.0, 3.0)
"""From between the effects of one delivery to after it."""
CHANCES = (0.0, 0.2, 0.5)
"""How likely a request has bad luck."""
LENGTH = 12
HALF = 0.5
SLOW = (0.0, 0.0, 0.02)
"""How likely a thread comes late by more than a lease."""


@dataclass(frozen=True)
class Step:
    """One thing that happens, and how long nothing else does after it."""

    act: str
    seed: int
    pause: float

    def take(self, world: World) -> None:
        ACTS[self.act](world, random.Random(self.seed))  # noqa: S311 - no secret
        world.advance(self.pause)


@dataclass(frozen=True)
class Schedule:
    seed: int
    chance: float
    steps: tuple[Step, ...]
    slow_threads: float = 0.0
    shape: Shape = SHAPES[0]
    kinds: tuple[str, ...] = tuple(FAULTS)
    """Of what kinds bad luck is."""
    of: tuple[type[Published], ...] = (Track,)
    """What accounts make, in turn."""

    def begin(self) -> World:
        accounts, hosts, lanes = self.shape
        world = World(
            self.seed,
            chance=self.chance,
            accounts=accounts,
            hosts=hosts,
            lanes_of_a_host=lanes,
            kinds=self.kinds,
            of=self.of,
        )
        world.slow_threads = self.slow_threads
        world.network.oldest_create = LATE_CREATE_WINDOW.total_seconds()
        return world

    def run(self) -> None:
        with self.begin() as world:
            for step in self.steps:
                step.take(world)
            self.end(world)

    @staticmethod
    def end(world: World) -> None:
        """Hold it to the invariants, as it is and after everything has healed."""
        invariants.always(world)
        invariants.at_the_end(world)


def drawn(seed: int, length: int = LENGTH, weights: Mapping[str, int] = WEIGHTS) -> Schedule:
    """A schedule of this seed; how often what happens, others may say."""
    dice = random.Random(seed)  # noqa: S311 - no secret
    names = sorted(weights)
    acts = ["upload", *dice.choices(names, [weights[name] for name in names], k=length)]
    steps = [Step(act, dice.getrandbits(32), dice.choice(PAUSES)) for act in acts]
    return Schedule(seed, dice.choice(CHANCES), tuple(steps), dice.choice(SLOW), dice.choice(SHAPES))


def drawn_with_crashes(seed: int) -> Schedule:
    """A schedule of this seed in which relays die, or their leases end, and what they have sent arrives late."""
    return replace(drawn(seed, weights=WITH_CRASHES), kinds=LATE)


def drawn_of_all_kinds(seed: int) -> Schedule:
    """A schedule of this seed in which accounts make all kinds of records, and lists and counts follow tracks."""
    return replace(drawn(seed, 24, OF_ALL_KINDS), of=ALL_KINDS)


def swarm(seed: int) -> Schedule:
    """A schedule of this seed that leaves out half of what may happen, of acts and of bad luck: what is common elsewhere hides what is rare."""
    dice = random.Random(seed)  # noqa: S311 - no secret
    rates = {**OF_ALL_KINDS, **WITH_DELETIONS, **WITH_REPLAYS, **WITH_CRASHES}
    weights = {act: dice.randint(1, 24) for act in sorted(rates) if dice.random() < HALF}
    kinds = [kind for kind in FAULTS if dice.random() < HALF]
    of = tuple(kind for kind in ALL_KINDS if kind is Track or dice.random() < HALF)
    drawn_of_those = drawn(seed, dice.randint(LENGTH // 2, 2 * LENGTH), {"wait": 6, "edit": 6, **weights})
    return replace(drawn_of_those, chance=dice.uniform(0.0, 0.6), kinds=tuple(kinds or FAULTS), of=of)


def failure(schedule: Schedule) -> Exception | None:
    try:
        schedule.run()
    except Exception as error:  # noqa: BLE001 - every error is a finding
        return error
    return None
