"""Invariants of the rows that the relays work from."""

from sqlalchemy import select

from eventstore.errors import LeaseLostError
from eventstore.sql.schema import stored_event
from outbox.mirror.lanes import Lane
from outbox.mirror.tables import delivery_attempt, mirror_lane, mirror_target, pds_host
from outbox.pds.verdict import Kind, Verdict
from outbox.relay.delivery_task import next_task
from outbox.relay.result import Outcome, Result
from outbox.relay.settle import settle
from projections.rebuild.rebuild import differences
from tests.simulation.relay_process import KINDS
from tests.simulation.world import World


def rebuilt_is_live(world: World) -> None:
    """I11: targets, blob jobs and what else the world derives say what the log makes of them."""
    assert differences(world.log, world.projections) == []


def hosts_are_not_crowded(world: World) -> None:
    """I12b: after no claim did a host have more leases than it may."""
    assert world.crowded == []


def no_host_is_doubted(world: World) -> None:
    """I21: hosts have what they acknowledged, whatever other clients and the network did since."""
    with world.database.read() as connection:
        doubted = select(pds_host.c.host, pds_host.c.refuted_writes).where(pds_host.c.refuted_writes > 0)
        assert connection.execute(doubted).all() == []


def stale_flights_change_nothing(world: World) -> None:
    """I12: a result with an older epoch changes no row."""
    with world.database.read() as connection:
        lanes = connection.execute(select(mirror_lane).where(mirror_lane.c.lease_epoch > 0)).all()
    for row in lanes:
        stale = Lane(row.did, row.host, "somebody", row.lease_epoch - 1, world.clock())
        work = next_task(world.log, stale, KINDS, world.clock(), [])
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
        tables = (mirror_lane, mirror_target, delivery_attempt, stored_event)
        return [connection.execute(select(table)).all() for table in tables]
