"""What must hold in every world, whatever happened in it. Each raises AssertionError, which names record and reason."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

import pytest
from sqlalchemy import select

from aggregates.track import Track
from eventstore.change import Recorded
from outbox.delivery import Outcome, Result
from outbox.lanes import Lane, LeaseLostError
from outbox.record import GENERATION, OWN_FIELDS, own_part, record_for
from outbox.settle import settle
from outbox.status import deliveries
from outbox.tables import delivery_attempt, mirror_lane, mirror_target
from outbox.verdict import Kind, Verdict
from outbox.work import RECREATING, next_work
from tests.simulation.fake_pds import SERVICE
from tests.simulation.fake_repo import Commit
from tests.simulation.network import WRITES, Passage
from tests.simulation.relay_process import URLS
from tests.simulation.world import WAITING, World

STATUSES = frozenset({"none", "delivered", "superseded", "cancelled", "pending", "parked", *WAITING})


def recorded(world: World, track_id: int) -> list[Recorded]:
    """The track's part of the log."""
    with world.database.read() as connection:
        return world.log.stream(connection, Track.create_id(track_id))


def commits(world: World, track_id: int) -> list[Commit]:
    """All that ever happened to the track's record."""
    key = world.key(track_id)
    return [commit for commit in world.repo(world.tracks[track_id]).commits if commit.key == key]


def converged(world: World) -> None:
    """I1: once faults have ended, each record equals the fold of the log, or says for whom it waits."""
    for track_id, mirror in world.mirrors().items():
        where = f"track {track_id}: {mirror}"
        assert mirror.state in {"delivered", *WAITING}, where
        history = commits(world, track_id)
        if mirror.state in WAITING or (history and history[-1].client != SERVICE):
            continue  # nobody has told the relay yet, or it waits for a person
        track = world.track(track_id)
        stored = world.repo(track.did).records.get(world.key(track_id))
        if track.deleted_at is not None:
            assert stored is None, where
        else:
            assert stored is not None, where
            ours = {name: value for name, value in stored.value.items() if name in OWN_FIELDS}
            assert ours == record_for(track, mirror.generation, URLS), where


def generations_rise(world: World) -> None:
    """I2: of our own puts each has a higher generation than the one before, unless somebody else came between."""
    for track_id in world.tracks:
        newest, alone = 0, True
        for commit in commits(world, track_id):
            if commit.client != SERVICE:
                alone = False
            elif commit.value is not None:
                gen = commit.value[GENERATION]
                assert gen > newest or (gen == newest and not alone), (
                    f"track {track_id}: {gen} after {newest}"
                )
                newest, alone = gen, True


def puts_are_the_log(world: World) -> None:
    """Each put of ours says what the log said at the generation that it names."""
    for track_id in world.tracks:
        events = recorded(world, track_id)
        for commit in commits(world, track_id):
            if commit.client == SERVICE and commit.value is not None:
                gen = commit.value[GENERATION]
                track = world.log.fold(Track, [each for each in events if each.position <= gen])
                assert track is not None
                expected = own_part(record_for(track, gen, URLS))
                assert own_part(commit.value) == expected, f"track {track_id} at {gen}"


def foreign_values_are_safe(world: World) -> None:
    """I8: no put of ours replaces a foreign edit, nor brings back what was deleted elsewhere, unless its owner said so."""
    for track_id in world.tracks:
        recreated = [
            each.position for each in recorded(world, track_id) if isinstance(each.event, RECREATING)
        ]
        newest = 0
        history = commits(world, track_id)
        for before, after in pairwise([None, *history]):
            if (
                before is not None
                and before.client != SERVICE
                and after is not None
                and after.client == SERVICE
            ):
                again = any(newest <= position for position in recreated if position <= _generation(after))
                _check_foreign(history[: history.index(after)], after, again, f"track {track_id}")
            if after is not None and after.client == SERVICE and after.value is not None:
                newest = after.value[GENERATION]


def _generation(commit: Commit) -> int:
    return 0 if commit.value is None else int(commit.value[GENERATION])


def _check_foreign(history: list[Commit], ours: Commit, recreated: bool, where: str) -> None:
    foreign = history[-1]
    where = f"{where}: {_generation(ours)} over {foreign.action} elsewhere"
    if ours.value is None:
        return  # its owner deleted the track
    if foreign.value is None:
        assert recreated, where
        return
    base = next((commit.value for commit in reversed(history) if commit.client == SERVICE), None)
    assert base is not None, where
    assert own_part(foreign.value) == own_part(base), where
    kept = {name: value for name, value in foreign.value.items() if name not in OWN_FIELDS}
    assert kept.items() <= ours.value.items(), f"{where}: unknown fields were lost"


def single_flight(world: World) -> list[str]:
    """I3: no two writes of one account under way at once; those are given that a pause or a clock may explain."""
    explained = []
    by_did: dict[str, list[Passage]] = defaultdict(list)
    for passage in world.network.passages:
        if passage.call in WRITES and passage.did is not None:
            by_did[passage.did].append(passage)
    for passages in by_did.values():
        for one, other in pairwise(sorted(passages, key=lambda each: each.sent_at)):
            if other.sent_at < one.over_at:
                assert world.was_disturbed(other.sent_at), f"{one} and {other}"
                explained.append(f"{one} and {other}")
    return explained


def events_are_accounted_for(world: World, *, settled: bool = False) -> None:
    """I4: each event has one status, and the status is true of what the PDS has seen."""
    found = world.mirrors()
    for track_id in world.tracks:
        events = [
            (each.position, each.event.touches_record())
            for each in recorded(world, track_id)
            if isinstance(each.event, Track.Event)
        ]
        with world.database.read() as connection:
            told = deliveries(connection, track_id, events, found[track_id])
        assert set(told) == {position for position, _ in events}
        seen = set(_generations(commits(world, track_id)))
        for position, touches in events:
            delivery, where = told[position], f"track {track_id}, event {position}: {told[position]}"
            assert delivery.status in STATUSES, where
            assert (delivery.status == "none") == (not touches), where
            if delivery.status == "delivered" and delivery.cid is not None:
                assert position in seen, where
            if delivery.status == "superseded":
                assert delivery.by_generation is not None, where
                assert delivery.by_generation > position, where
                assert delivery.by_generation in told, where
            if delivery.status == "cancelled":
                assert position not in seen, where
            assert not (settled and delivery.status == "pending"), where


def _generations(history: list[Commit]) -> Iterator[int]:
    for commit in history:
        if commit.client == SERVICE and commit.value is not None:
            yield commit.value[GENERATION]


def stale_flights_change_nothing(world: World) -> None:
    """I12: who comes back with an epoch of before changes no row, whatever it found out."""
    with world.database.read() as connection:
        lanes = connection.execute(select(mirror_lane).where(mirror_lane.c.lease_epoch > 0)).all()
    for row in lanes:
        stale = Lane(row.did, row.host, "somebody", row.lease_epoch - 1, world.clock())
        work = next_work(world.log, stale, URLS, world.clock(), [])
        if work is not None:
            before = _rows(world)
            for outcome in (Outcome.DELIVERED, Outcome.FAILED, Outcome.MISSING, Outcome.HELD):
                with pytest.raises(LeaseLostError):
                    settle(world.log, stale, Result(work, outcome, Verdict(Kind.AMBIGUOUS)))
            assert _rows(world) == before, f"lane of {row.did}"


def _rows(world: World) -> list[object]:
    with world.database.read() as connection:
        tables = (mirror_lane, mirror_target, delivery_attempt, world.log.table)
        return [connection.execute(select(table)).all() for table in tables]


def nothing_broke(world: World) -> None:
    """No fault of ours was logged, and no task ended with an error that nobody saw."""
    assert world.errors == []


def always(world: World) -> None:
    """What holds at any moment."""
    nothing_broke(world)
    generations_rise(world)
    puts_are_the_log(world)
    foreign_values_are_safe(world)
    single_flight(world)
    events_are_accounted_for(world)
    stale_flights_change_nothing(world)


def at_the_end(world: World) -> None:
    """What holds once faults have ended: also after everything that is still on its way has arrived."""
    world.heal()
    world.settle()
    converged(world)
    world.network.release()
    world.advance(1)
    world.settle()
    converged(world)
    always(world)
    events_are_accounted_for(world, settled=True)
