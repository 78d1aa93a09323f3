"""All interleavings of the steps of uploads and sweeps of the same bytes, on both databases."""

import io
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial

import pytest

from eventstore.sql.database import Database
from storage.cid import cid_of
from storage.errors import MediaGoneError
from storage.media import Media, media
from storage.sweep import sweep
from tests.storage.memory_store import MemoryStore
from tests.storage.references import Names, name, named_now, names
from tests.storage.stepped_threads import Actor, Stage

DATA = b"sound"
CID = cid_of(DATA)
GRACE = timedelta(0)


class World:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.stage = Stage()
        self.store = MemoryStore()
        self.storage = Media(database, self.store)
        with database.write() as connection:
            connection.execute(media.delete())
            connection.execute(names.delete())

    def upload(self) -> None:
        self.storage.add(CID, io.BytesIO(DATA), len(DATA), "audio/mpeg")

    def upload_and_name(self) -> None:
        while True:
            self.upload()
            try:
                name(self.storage, CID)
            except MediaGoneError:
                continue
            return

    def sweep(self) -> None:
        sweep(self.storage, Names(), GRACE)

    def check(self) -> None:
        for cid in named_now(self.database):
            assert b"".join(self.storage.read(cid)) == DATA


def nothing(_world: World) -> None:
    """Start with an empty store."""


def live(world: World) -> None:
    world.upload()


def play(world: World, works: list[Callable[[], None]], order: list[int]) -> list[int]:
    """Run the actors in this order, then always the first; returns how many could have been chosen at each step."""
    world.store.at = world.stage.at
    actors = [world.stage.enter(work) for work in works]
    choices = list[int]()
    while waiting := [actor for actor in actors if not actor.finished]:
        turn = order[len(choices)] if len(choices) < len(order) else 0
        choices.append(len(waiting))
        waiting[turn % len(waiting)].step()
        world.check()
    world.store.at = lambda _step: None
    return choices


def orders(run: Callable[[list[int]], list[int]]) -> Iterator[list[int]]:
    """Walk through all orders, depth first: the choices at a step are known only by running it."""
    order = list[int]()
    while True:
        choices = run(order)
        yield order
        order += [0] * (len(choices) - len(order))
        while order and order[-1] + 1 == choices[len(order) - 1]:
            order.pop()
        if not order:
            return
        order[-1] += 1


@pytest.mark.parametrize("begin", [nothing, live])
@pytest.mark.parametrize(("other", "orders_at_least"), [(World.sweep, 21), (World.upload_and_name, 6)])
def test_in_no_order_of_their_steps_takes_another_actor_what_an_upload_names(
    database: Database,
    begin: Callable[[World], None],
    other: Callable[[World], None],
    orders_at_least: int,
) -> None:
    def run(order: list[int]) -> list[int]:
        world = World(database)
        begin(world)
        choices = play(world, [world.upload_and_name, partial(other, world)], order)
        assert named_now(database) == [CID]
        world.sweep()
        world.check()
        assert len(world.store.copies) == 1
        return choices

    assert sum(1 for _ in orders(run)) >= orders_at_least


def test_a_sweep_that_slept_while_another_finished_its_work_cannot_take_a_new_upload(
    database: Database,
) -> None:
    world = World(database)
    world.upload()
    world.store.at = world.stage.at
    sleeper: Actor = world.stage.enter(world.sweep)
    sleeper.step()  # it has given the copy up and is about to delete the bytes
    world.store.at = lambda _step: None
    world.sweep()
    world.upload_and_name()
    world.store.at = world.stage.at
    while not sleeper.finished:
        sleeper.step()
        world.check()
    assert named_now(database) == [CID]
