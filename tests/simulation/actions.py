"""The actions of a schedule: each happens at one moment and draws from its own random numbers."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

from aggregates.published import Published
from aggregates.tracks.track import Track
from aggregates.values import SupportGate
from eventstore.unit_of_work import UnitOfWork
from outbox.blobs.jobs import mark_backfill
from outbox.conflicts.conflicts import clear_conflict
from outbox.mirror import pausing, requeue
from outbox.operations import operators
from outbox.operations.operators import Action, Operator, Selector
from outbox.relay import journal
from tests.dsl import some_artwork
from tests.fake_pds.account import Status
from tests.fake_pds.limits import REQUESTS, WRITES_AN_HOUR
from tests.simulation.kinds import KINDS
from tests.simulation.relay_process import KINDS as RECORD_KINDS
from tests.simulation.replay import replay
from tests.simulation.virtual_time import Life
from tests.simulation.world import OPERATOR, World

Act = Callable[[World, random.Random], object]
TEXTS = {records.collection: KINDS[records.aggregate].text for records in RECORD_KINDS}
"""The field that another client edits, by collection."""


def _upload(world: World, dice: random.Random) -> None:
    world.upload(dice.choice(world.dids))


def _upload_several(world: World, dice: random.Random) -> None:
    did = dice.choice(world.dids)
    for _ in range(3):
        world.upload(did)


def _edit(world: World, dice: random.Random) -> None:
    _tell(world, dice, lambda it: KINDS[type(it)].edit(it, dice, world.clock()))


def _tell(
    world: World,
    dice: random.Random,
    command: Callable[[Any], None],
    kind: type[Published] | None = None,
) -> None:
    if ids := world.ids(kind):
        world.tell(dice.choice(ids), command)


def _telling(command: Callable[[Any, datetime], None]) -> Act:
    """A command that all kinds have."""
    return lambda world, dice: _tell(world, dice, lambda it: command(it, world.clock()))


def _telling_a_track(command: Callable[[Track, World, random.Random], None]) -> Act:
    return lambda world, dice: _tell(world, dice, lambda track: command(track, world, dice), Track)


def _replace_audio(track: Track, world: World, dice: random.Random) -> None:
    other = f"ID3 {track.track_id} other {dice.randint(0, 3)}"  # an account has no audio twice
    track.replace_audio(world.audio.keep(other.encode()), at=world.clock())


def _gate(track: Track, world: World, dice: random.Random) -> None:
    track.set_support_gate(dice.choice([None, SupportGate("any")]), at=world.clock())


def _artwork(track: Track, world: World, dice: random.Random) -> None:
    if dice.random() < 0.3:
        track.set_artwork(None, at=world.clock())
    else:
        track.set_artwork(some_artwork(dice.randint(1, 3)), at=world.clock())


def _account(status: Status) -> Act:
    def act(world: World, dice: random.Random) -> None:
        did = dice.choice(world.present)
        world.host_of(did).set_status(did, status)

    return act


def _expire(world: World, dice: random.Random) -> None:
    did = dice.choice(world.present)
    world.host_of(did).tokens.expire(did)


def _delete_account(world: World, dice: random.Random) -> None:
    if len(world.present) > 1:
        did = dice.choice(world.present)
        world.host_of(did).delete_account(did)


def _foreign(world: World, dice: random.Random) -> None:
    did = dice.choice(world.present)
    repo = world.repo(did)
    if not repo.records:
        return
    key = dice.choice(sorted(repo.records))
    value = repo.records[key].value
    match dice.choice(["field", "edit", "delete"]):
        case "field":
            repo.put(key, {**value, "elsewhere": dice.randint(0, 9)})
        case "edit":
            repo.put(key, {**value, TEXTS.get(key[0], "title"): f"elsewhere {dice.randint(0, 9)}"})
        case "delete":
            repo.delete(key)


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


def _restore(world: World, dice: random.Random) -> None:
    subject_id = dice.choice(world.ids())

    def restore(unit: UnitOfWork) -> None:
        it = world.loaded(unit, subject_id)
        it.restore_record(at=unit.now)
        unit.save(it)
        clear_conflict(unit.connection, it.did, it.TOPIC, subject_id)

    world.in_unit(subject_id, restore)


def _decide(world: World, dice: random.Random) -> None:
    theirs = dice.random() < 0.5
    held = [track_id for track_id, mirror in world.mirrors().items() if mirror.state == "held"]
    if held:
        world.decide(dice.choice(held), theirs=theirs)


def _migrate(world: World, dice: random.Random) -> None:
    """All of an account's audio, behind whatever else there is to do."""
    did = dice.choice(world.dids)
    track_ids = [each for each in world.ids(Track) if world.owners[each] == did]
    for track_id in track_ids:
        world.tell(track_id, lambda track: track.request_blob_migration(at=world.clock()))
    with world.database.write() as connection:
        mark_backfill(connection, did, Track.subjects(track_ids))
        requeue.queue_as_backfill(connection, did, Track.subjects(track_ids), world.clock())


def _replay(world: World, dice: random.Random) -> None:
    """Another client deletes most of an account's records, and an operator restores what is missing."""
    did = dice.choice(world.present)
    repo = world.repo(did)
    for key in sorted(repo.records):
        if dice.random() < 0.8:
            repo.delete(key)
    replay(world, did)


def _doubt(world: World, dice: random.Random) -> None:
    world.verify(dice.choice(world.ids()))


def _retry(world: World, dice: random.Random) -> None:
    [subject] = world.subjects([dice.choice(world.ids())])
    with world.database.write() as connection:
        requeue.retry(connection, world.owners[subject.id], *subject, world.clock())
    world.wake()


def _pause(world: World, dice: random.Random) -> None:
    pauses = dice.choice([True, False])
    with world.database.write() as connection:
        name = dice.choice([*world.dids, *world.origins])
        if pauses:
            pausing.pause(connection, name)
        else:
            pausing.resume(connection, name, world.clock())
    world.wake()


def _operate(action: Action) -> Act:
    def act(world: World, dice: random.Random) -> None:
        operators.perform(world.log, action, Selector(host=dice.choice(world.origins)), Operator(OPERATOR))
        world.wake()

    return act


def _prune(world: World, _dice: random.Random) -> None:
    """I15: the journal, of everything that it may be pruned of however old it is."""
    now = timedelta()
    with patch.multiple(journal, ATTEMPTS_TTL=now, FAILURES_TTL=now):
        journal.prune_attempts(world.database)


def _set_clock(world: World, _dice: random.Random) -> None:
    """An hour on, and back again the next time: as far as it may be set while a create is on its way."""
    world.jump(-1 if world.skew > timedelta() else 1)


ACTS: dict[str, Act] = {
    "upload": _upload,
    "upload several": _upload_several,
    "edit": _edit,
    "replace audio": _telling_a_track(_replace_audio),
    "gate": _telling_a_track(_gate),
    "artwork": _telling_a_track(_artwork),
    "blob": _telling_a_track(lambda track, world, _: track.request_blob_migration(at=world.clock())),
    "delete": _telling(lambda it, at: it.delete(at=at)),
    "undelete": _telling(lambda it, at: it.undelete(at=at)),
    "restore": _restore,
    "decide": _decide,
    "migrate": _migrate,
    "doubt": _doubt,
    "replay": _replay,
    "retry": _retry,
    "pause": _pause,
    "redrive": _operate(Action.REDRIVE),
    "probe": _operate(Action.PROBE),
    "prune": _prune,
    "sign out": lambda world, dice: world.sign_out(dice.choice(world.present)),
    "sign in": lambda world, dice: world.sign_in(dice.choice(world.dids)),
    "tokens expire": _expire,
    "deactivate": _account(Status.DEACTIVATED),
    "activate": _account(Status.ACTIVE),
    "take down": _account(Status.TAKENDOWN),
    "delete account": _delete_account,
    "move": lambda world, dice: world.move(dice.choice(world.present), dice.choice(world.hosts)),
    "foreign": _foreign,
    "host": _host,
    "limits": _limits,
    "kill": _kill,
    "start": _start,
    "freeze": _freeze,
    "thaw": _thaw,
    "jump": lambda world, dice: world.jump(dice.choice([-1, 1])),
    "set clock": _set_clock,
    "release": lambda world, _: world.network.release(),
    "wait": lambda world, dice: world.advance(dice.uniform(20, 120)),
}
WEIGHTS = {
    "wait": 6, "edit": 24, "upload": 3, "delete": 8, "undelete": 8, "restore": 3, "blob": 5,
    "replace audio": 3, "gate": 3, "artwork": 3, "foreign": 6, "host": 4, "kill": 3, "start": 3,
    "freeze": 3, "thaw": 3, "jump": 2, "release": 2, "sign out": 2, "sign in": 2,
    "decide": 4, "migrate": 2, "doubt": 3, "retry": 2, "pause": 2, "redrive": 2, "probe": 1, "prune": 2,
    "tokens expire": 2, "deactivate": 1, "activate": 1, "take down": 1, "move": 1, "limits": 1,
}  # fmt: skip
OF_ALL_KINDS = {**WEIGHTS, "upload several": 16}
WITH_DECISIONS = {**WEIGHTS, "foreign": 30, "doubt": 24, "decide": 24, "wait": 12}
"""Other clients are busy, and scans and artists with them."""
WITH_DELETIONS = {**WEIGHTS, "delete account": 6, "upload": 6, "move": 3, "sign in": 4}
"""Accounts are deleted at their hosts while their owners keep using the service."""
WITH_REPLAYS = {
    "wait": 24, "edit": 8, "upload several": 10, "delete": 4, "undelete": 4, "replay": 24, "foreign": 3, "doubt": 3,
    "kill": 4, "start": 4, "freeze": 2, "thaw": 2, "release": 3, "jump": 1, "limits": 1, "tokens expire": 1,
}  # fmt: skip
"""Repositories are wiped and restored."""
WITH_CRASHES = {
    "wait": 1, "edit": 3, "upload": 3, "delete": 12, "undelete": 3, "kill": 6, "start": 4, "set clock": 4,
}  # fmt: skip
"""Relays die, or their leases end, while a create is on its way, and before it lands its record is deleted.

That takes a clock that is set: else nobody comes after the relay before its lease ends, and by then the create is lost.
"""
