"""What must hold in every world, whatever happened in it. Each raises AssertionError, which names record and reason."""

from collections import defaultdict
from itertools import pairwise

from sqlalchemy import select

from outbox.delivery import Outcome, Result
from outbox.lanes import Lane, LeaseLostError
from outbox.record import OWN_FIELDS, own_part, record_for
from outbox.settle import settle
from outbox.tables import delivery_attempt, mirror_lane, mirror_target
from outbox.verdict import Kind, Verdict
from outbox.work import RECREATING, next_work
from tests.simulation.fake_repo import Commit
from tests.simulation.healing import WAITING, heal, settle_down
from tests.simulation.network import WRITES, Passage
from tests.simulation.relay_process import URLS
from tests.simulation.seen import Record, Seen, generation, is_ours
from tests.simulation.world import World

STATUSES = frozenset({"none", "delivered", "superseded", "cancelled", "pending", "parked", *WAITING})


def converged(seen: Seen) -> None:
    """I1: once faults have ended, each record equals the fold of the log, or says for whom it waits."""
    for record in seen.records:
        assert record.mirror.state in {"delivered", *WAITING}, record
        if record.mirror.state in WAITING or (record.commits and not is_ours(record.commits[-1])):
            continue  # it waits for a person, or nobody has told the relay yet
        if record.track.deleted_at is not None:
            assert record.stored is None, record
        else:
            assert record.stored is not None, record
            ours = {name: value for name, value in record.stored.value.items() if name in OWN_FIELDS}
            assert ours == record_for(record.track, record.mirror.generation, URLS), record


def generations_rise(seen: Seen) -> None:
    """I2: of our own puts each has a higher generation than the one before, unless somebody else came between.

    A create that comes late finds nothing where the record was deleted: that no client can prevent, only put right.
    """
    for record in seen.records:
        newest, alone = 0, True
        for before, commit in pairwise([None, *record.commits]):
            if not is_ours(commit):
                alone = False
            elif commit.value is not None:
                gen = generation(commit)
                came_late = before is not None and before.value is None
                assert gen > newest or (gen == newest and not alone) or came_late, (
                    f"{record}: {gen} after {newest}"
                )
                newest, alone = max(gen, newest), True


def puts_are_the_log(seen: Seen) -> None:
    """Each put of ours says what the log said at the generation that it names."""
    for record in seen.records:
        for commit in record.commits:
            if is_ours(commit) and commit.value is not None:
                gen = generation(commit)
                expected = own_part(record_for(record.at(gen), gen, URLS))
                assert own_part(commit.value) == expected, f"{record}: at {gen}"


def foreign_values_are_safe(seen: Seen) -> None:
    """I8: no put of ours replaces a foreign edit, nor brings back what was deleted elsewhere, unless its owner said so."""
    for record in seen.records:
        for index, commit in enumerate(record.commits):
            if (
                index
                and is_ours(commit)
                and commit.value is not None
                and not is_ours(record.commits[index - 1])
            ):
                _check_foreign(record, record.commits[:index], commit)


def _check_foreign(record: Record, before: list[Commit], ours: Commit) -> None:
    foreign, gen = before[-1], generation(ours)
    assert ours.value is not None
    where = f"{record}: {gen} over {foreign.action} elsewhere"
    if foreign.value is None:
        assert _may_create(record, gen), where
        return
    base = next((commit.value for commit in reversed(before) if is_ours(commit)), None)
    assert base is not None, where
    assert own_part(foreign.value) == own_part(base), where
    kept = {name: value for name, value in foreign.value.items() if name not in OWN_FIELDS}
    assert kept.items() <= ours.value.items(), f"{where}: unknown fields were lost"


def _may_create(record: Record, gen: int) -> bool:
    """Whether the owner wanted the record to be made, and nobody had heard yet that it was."""
    wished = [each.position for each in record.events if isinstance(each.event, RECREATING)]
    return any(
        position <= gen and not any(position <= acked < gen for acked in record.acked) for position in wished
    )


def waits_are_true(seen: Seen) -> None:
    """A record waits for a person only over what somebody did elsewhere: our own writes are always known as ours."""
    for record in seen.records:
        if record.mirror.state == "held":
            assert any(_changed_ours(record.commits, index) for index in range(len(record.commits))), record
        if record.mirror.state == "detached":
            assert any(each.value is None and not is_ours(each) for each in record.commits), record


def _changed_ours(commits: list[Commit], index: int) -> bool:
    before, after = (commits[index - 1].value or {} if index else {}), commits[index].value or {}
    return not is_ours(commits[index]) and own_part(before) != own_part(after)


def single_flight(world: World) -> list[str]:
    """I3: no two writes of one account under way to one host at once; those are given that a pause or a clock may explain."""
    explained = []
    by_did: dict[tuple[str, str], list[Passage]] = defaultdict(list)
    for passage in world.network.passages:
        if passage.call in WRITES and passage.did is not None:
            by_did[passage.did, passage.host].append(passage)
    for passages in by_did.values():
        for one, other in pairwise(sorted(passages, key=lambda each: each.sent_at)):
            if other.sent_at < one.over_at:
                assert world.was_disturbed(other.sent_at), f"{one} and {other}"
                explained.append(f"{one} and {other}")
    return explained


def nobody_comes_back_early(world: World) -> None:
    """I7: who was told when to come back with an account's writes does not come before; unless he died or it was forgotten."""
    until: dict[str, Passage] = {}
    for passage in sorted(world.network.passages, key=lambda each: each.sent_at):
        if passage.call not in WRITES or passage.did is None:
            continue
        told = until.get(passage.did)
        if told is not None and told.retry_after is not None and told.over_at < passage.sent_at:
            early = passage.sent_at < told.over_at + told.retry_after
            assert not early or _is_excused(world, told, passage), f"{passage} after {told}"
        if passage.heard == "429":
            until[passage.did] = passage


def _is_excused(world: World, told: Passage, early: Passage) -> bool:
    assert told.process is not None
    forgot = told.process.died_at < told.over_at + 1 or world.was_disturbed(told.over_at)
    moved = told.host != early.host
    return forgot or moved or any(told.over_at <= at <= early.sent_at for at in world.clock_sets)


def events_are_accounted_for(seen: Seen, *, settled: bool = False) -> None:
    """I4: each event has one status, and the status is true of what the PDS has seen."""
    for record in seen.records:
        told = seen.deliveries(record)
        assert set(told) == {position for position, _ in record.facts}
        put = {generation(commit) for commit in record.commits if is_ours(commit)}
        for position, touches in record.facts:
            delivery, where = told[position], f"{record}: event {position} is {told[position]}"
            assert delivery.status in STATUSES, where
            assert (delivery.status == "none") == (not touches), where
            assert not (settled and delivery.status == "pending"), where
            if delivery.status == "delivered" and delivery.cid is not None:
                assert position in put, where
            elif delivery.status == "superseded":
                assert delivery.by_generation is not None, where
                assert delivery.by_generation > position, where
                assert delivery.by_generation in told, where
            elif delivery.status == "cancelled":
                assert position not in put, where


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
                assert _is_fenced(world, stale, Result(work, outcome, Verdict(Kind.AMBIGUOUS))), row
            assert _rows(world) == before, f"lane of {row.did}"


def _is_fenced(world: World, stale: Lane, result: Result) -> bool:
    try:
        settle(world.log, stale, result)
    except LeaseLostError:
        return True
    return False


def _rows(world: World) -> list[object]:
    with world.database.read() as connection:
        tables = (mirror_lane, mirror_target, delivery_attempt, world.log.table)
        return [connection.execute(select(table)).all() for table in tables]


def nothing_broke(world: World) -> None:
    """No fault of ours was logged, and no task ended with an error that nobody saw."""
    assert world.errors == []


def always(world: World) -> Seen:
    """What holds at any moment; gives what was seen."""
    nothing_broke(world)
    single_flight(world)
    nobody_comes_back_early(world)
    stale_flights_change_nothing(world)
    seen = Seen(world)
    generations_rise(seen)
    puts_are_the_log(seen)
    foreign_values_are_safe(seen)
    waits_are_true(seen)
    events_are_accounted_for(seen)
    return seen


def at_the_end(world: World) -> None:
    """What holds once faults have ended: also after everything that is still on its way has arrived."""
    heal(world)
    settle_down(world)
    converged(Seen(world))
    if world.network.under_way:
        world.network.release()
        world.advance(1)
        settle_down(world)
    seen = always(world)
    converged(seen)
    events_are_accounted_for(seen, settled=True)
