"""A schedule: what people, hosts, clocks and processes do, step by step, drawn from one seed.

A step has dice of its own, so that leaving one out changes no other: a schedule that fails can be made small.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from aggregates.track import Track
from aggregates.values import SupportGate
from outbox.delivery import SETTLING
from tests.dsl import some_artwork
from tests.simulation import invariants
from tests.simulation.fake_account import Status
from tests.simulation.fake_limits import REQUESTS, WRITES_AN_HOUR
from tests.simulation.virtual_time import Life
from tests.simulation.world import World

Act = Callable[[World, random.Random], object]
Shape = tuple[int, int, int]
SHAPES: tuple[Shape, ...] = ((2, 2, 4), (2, 1, 1), (3, 2, 2))
"""How many accounts at how many hosts, and how many lanes a host may have at once."""
CHANCES = (0.0, 0.2, 0.5)
"""How likely a request has bad luck."""
SLOW = (0.0, 0.0, 0.02)
"""How likely a thread comes late by more than a lease."""


@dataclass(frozen=True)
class Step:
    """One thing that happens, and how long nothing else does after it."""

    act: str
    seed: int
    pause: float

    def take(self, world: World) -> None:
        """Let it happen."""
        ACTS[self.act](world, random.Random(self.seed))  # noqa: S311 - no secret
        world.advance(self.pause)


@dataclass(frozen=True)
class Schedule:
    """One run, to be repeated at will."""

    seed: int
    chance: float
    steps: tuple[Step, ...]
    slow_threads: float = 0.0
    shape: Shape = SHAPES[0]

    def begin(self) -> World:
        """The world before the first step."""
        accounts, hosts, lanes = self.shape
        world = World(self.seed, chance=self.chance, accounts=accounts, hosts=hosts, lanes_of_a_host=lanes)
        world.slow_threads = self.slow_threads
        world.network.oldest_create = SETTLING.total_seconds()
        return world

    def run(self) -> None:
        """Play it, and hold it to the invariants."""
        with self.begin() as world:
            for step in self.steps:
                step.take(world)
            invariants.always(world)
            invariants.at_the_end(world)

    def __str__(self) -> str:
        lines = [f"Schedule({self.seed}, {self.chance}, (", *(f"    {step}," for step in self.steps)]
        return "\n".join([*lines, f"), {self.slow_threads}, {self.shape})"])


def drawn(seed: int, length: int = 12, weights: Mapping[str, int] | None = None) -> Schedule:
    """A schedule of this seed; how often what happens, others may say."""
    dice = random.Random(seed)  # noqa: S311 - no secret
    weights = weights or WEIGHTS
    names = sorted(weights)
    acts = ["upload", *dice.choices(names, [weights[name] for name in names], k=length)]
    steps = [Step(act, dice.getrandbits(32), dice.choice(PAUSES)) for act in acts]
    return Schedule(seed, dice.choice(CHANCES), tuple(steps), dice.choice(SLOW), dice.choice(SHAPES))


def failure(schedule: Schedule) -> Exception | None:
    """What goes wrong in it, if anything does."""
    try:
        schedule.run()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what we look for
        return error
    return None


def smallest(schedule: Schedule) -> Schedule:
    """Leave out steps as long as it still fails."""
    steps, size = schedule.steps, max(1, len(schedule.steps) // 2)
    while True:
        shorter = _without_some(replace(schedule, steps=steps), size)
        if shorter is not None:
            steps = shorter
        elif size == 1:
            return replace(schedule, steps=steps)
        else:
            size //= 2


def _without_some(schedule: Schedule, size: int) -> tuple[Step, ...] | None:
    steps = schedule.steps
    for start in range(0, len(steps), size):
        rest: Sequence[Step] = (*steps[:start], *steps[start + size :])
        if rest and failure(replace(schedule, steps=tuple(rest))) is not None:
            return tuple(rest)
    return None


def _upload(world: World, dice: random.Random) -> None:
    world.upload(dice.choice(world.dids))


def _edit(world: World, dice: random.Random) -> None:
    _tell(world, dice, lambda track: track.update_metadata(_fields(dice), at=world.clock()))


def _fields(dice: random.Random) -> dict[str, object]:
    return dice.choice([
        {"title": f"title {dice.randint(0, 9)}"},
        {"album": dice.choice([None, "one", "two"])},
        {"tags": (f"tag {dice.randint(0, 9)}",)},
        {"description": f"text {dice.randint(0, 9)}", "title": "both"},
    ])  # fmt: skip


def _tell(world: World, dice: random.Random, command: Callable[[Track], None]) -> None:
    if world.tracks:
        world.tell(dice.choice(sorted(world.tracks)), command)


def _telling(command: Callable[[Track, World, random.Random], None]) -> Act:
    return lambda world, dice: _tell(world, dice, lambda track: command(track, world, dice))


def _replace_audio(track: Track, world: World, dice: random.Random) -> None:
    track.replace_audio(world.audio.keep(f"ID3 other {dice.randint(0, 3)}".encode()), at=world.clock())


def _gate(track: Track, world: World, dice: random.Random) -> None:
    track.set_support_gate(dice.choice([None, SupportGate("any")]), at=world.clock())


def _artwork(track: Track, world: World, dice: random.Random) -> None:
    if dice.random() < 0.3:
        track.remove_artwork(at=world.clock())
    else:
        track.replace_artwork(some_artwork(dice.randint(1, 3)), at=world.clock())


def _account(status: Status) -> Act:
    def act(world: World, dice: random.Random) -> None:
        did = dice.choice(world.dids)
        world.host_of(did).set_status(did, status)

    return act


def _expire(world: World, dice: random.Random) -> None:
    did = dice.choice(world.dids)
    world.host_of(did).tokens.expire(did)


def _foreign(world: World, dice: random.Random) -> None:
    did = dice.choice(world.dids)
    repo = world.repo(did)
    if not repo.records:
        return
    key = dice.choice(sorted(repo.records))
    value = repo.records[key].value
    match dice.choice(["field", "edit", "delete"]):
        case "field":
            repo.put(key, {**value, "elsewhere": dice.randint(0, 9)})
        case "edit":
            repo.put(key, {**value, "title": f"elsewhere {dice.randint(0, 9)}"})
        case "delete":
            repo.delete(key)


def _doubt(world: World, dice: random.Random) -> None:
    if world.tracks:
        world.doubt(dice.choice(sorted(world.tracks)))


def _decide(world: World, dice: random.Random) -> None:
    theirs = dice.random() < 0.5
    held = [track_id for track_id, mirror in world.mirrors().items() if mirror.state == "held"]
    if held:
        world.decide(dice.choice(held), theirs=theirs)


def _host(world: World, dice: random.Random) -> None:
    origin = dice.choice(world.hosts).origin
    dice.choice([world.network.down.add, world.network.silent.add, world.network.down.discard,
                 world.network.silent.discard])(origin)  # fmt: skip


def _limits(world: World, dice: random.Random) -> None:
    limits = dice.choice(world.hosts).limits
    limits.enabled = True
    limits.points = {WRITES_AN_HOUR.name: dice.randint(4, 12), REQUESTS.name: dice.randint(10, 40)}


def _kill(world: World, dice: random.Random) -> None:
    if living := world.living():
        dice.choice(living).kill()


def _start(world: World, _dice: random.Random) -> None:
    if len(world.living()) < 3:
        world.start_relay()


def _freeze(world: World, dice: random.Random) -> None:
    if living := world.living():
        dice.choice(living).process.freeze()
        world.disturb()


def _thaw(world: World, dice: random.Random) -> None:
    if frozen := world.living(Life.FROZEN):
        dice.choice(frozen).process.thaw()
        world.disturb()


ACTS: dict[str, Act] = {
    "upload": _upload,
    "edit": _edit,
    "replace audio": _telling(_replace_audio),
    "gate": _telling(_gate),
    "artwork": _telling(_artwork),
    "blob": _telling(lambda track, world, _: track.request_blob_migration(at=world.clock())),
    "delete": _telling(lambda track, world, _: track.delete(at=world.clock())),
    "undelete": _telling(lambda track, world, _: track.undelete(at=world.clock())),
    "restore": _telling(lambda track, world, _: track.restore_record(at=world.clock())),
    "sign out": lambda world, dice: world.sign_out(dice.choice(world.dids)),
    "sign in": lambda world, dice: world.sign_in(dice.choice(world.dids)),
    "tokens expire": _expire,
    "deactivate": _account(Status.DEACTIVATED),
    "activate": _account(Status.ACTIVE),
    "take down": _account(Status.TAKENDOWN),
    "move": lambda world, dice: world.move(dice.choice(world.dids), dice.choice(world.hosts)),
    "foreign": _foreign,
    "doubt": _doubt,
    "decide": _decide,
    "host": _host,
    "limits": _limits,
    "kill": _kill,
    "start": _start,
    "freeze": _freeze,
    "thaw": _thaw,
    "jump": lambda world, dice: world.jump(dice.choice([-1, 1])),
    "release": lambda world, _: world.network.release(),
    "wait": lambda world, dice: world.advance(dice.uniform(20, 120)),
}
PAUSES = (0.0, 0.005, 0.015, 0.03, 0.1, 1.0, 3.0)
"""From between the effects of one delivery to after it."""
WEIGHTS = {
    "wait": 6, "edit": 24, "upload": 3, "delete": 8, "undelete": 8, "restore": 3, "blob": 5,
    "replace audio": 3, "gate": 3, "artwork": 3, "foreign": 6, "host": 4, "kill": 3, "start": 3,
    "freeze": 3, "thaw": 3, "jump": 2, "release": 2, "sign out": 2, "sign in": 2,
    "tokens expire": 2, "deactivate": 1, "activate": 1, "take down": 1, "move": 1, "limits": 1,
}  # fmt: skip
WITH_DECISIONS = {**WEIGHTS, "foreign": 30, "doubt": 24, "decide": 24, "wait": 12}
"""Other clients are busy, and scans and artists with them."""
