"""What must hold in every world, whatever happened in it; each raises AssertionError, which names what is wrong.

The numbers are those of the list of invariants that the relay was designed by. Checked here:

    I1   convergence                     record_invariants.converged
    I2   generations rise                record_invariants.generations_rise, puts_are_the_log
    I3   single flight                   request_invariants.single_flight
    I4   every event accounted for       record_invariants.events_are_accounted_for
    I7   nothing before Retry-After      request_invariants.nobody_comes_back_early
    I7b  nothing before RateLimit-Reset  request_invariants.budgets_are_left_alone
    I7c  nor to the host, by anybody     host_invariants.hosts_are_left_alone
    I8   foreign values are safe         record_invariants.foreign_values_are_safe, waits_are_true
    I9   refresh tokens used once        request_invariants.refresh_tokens_are_used_once
    I10  lanes drain alone               record_invariants.signed_in_lanes_drain_alone
    I11  rebuilt is live                 row_invariants.rebuilt_is_live
    I12  stale epochs change nothing     row_invariants.stale_flights_change_nothing
    I12b leases of a host                row_invariants.hosts_are_not_crowded
    I13  crashes                         all of these, with the acts "kill" and "freeze"
    I14  few requests a fault            request_invariants.faults_cost_few_requests, nothing_is_asked_in_vain
    I15  pruning loses nothing unacked   all of these, with the act "prune", which takes whatever it may however new
    I16  clock jumps of an hour          all of these, with the act "jump"
    I19  lists follow tracks             following_invariants.lists_refer_to_the_newest
    I20  counts are exact                following_invariants.counts_are_exact
    I21  honest hosts are not doubted    row_invariants.no_host_is_doubted

and elsewhere: I5 (a host that hangs) in bench/, I6 (a bad record) and I17 (both databases) in tests/outbox,
I12b under real concurrency in tests/outbox/relay/test_claim_stress.py, I18 (no secrets in logs) in tests/service.
"""

from outbox.relay.delivery import MAX_CLOCK_JUMP
from tests.simulation import (
    following_invariants,
    host_invariants,
    record_invariants,
    request_invariants,
    row_invariants,
)
from tests.simulation.convergence import heal, settle_down
from tests.simulation.snapshot import Snapshot
from tests.simulation.world import World


def nothing_broke(world: World) -> None:
    """No error of ours was logged, and no task ended with an unhandled error."""
    assert world.errors == []


def always(world: World) -> Snapshot:
    """What holds at any moment; returns the snapshot."""
    row_invariants.no_host_is_doubted(world)  # before its line in the log is found
    nothing_broke(world)
    request_invariants.single_flight(world)
    request_invariants.nobody_comes_back_early(world)
    request_invariants.budgets_are_left_alone(world)
    host_invariants.hosts_are_left_alone(world)
    request_invariants.refresh_tokens_are_used_once(world)
    request_invariants.faults_cost_few_requests(world)
    row_invariants.hosts_are_not_crowded(world)
    row_invariants.stale_flights_change_nothing(world)
    snapshot = Snapshot(world)
    record_invariants.generations_rise(snapshot)
    record_invariants.puts_are_the_log(snapshot)
    record_invariants.foreign_values_are_safe(snapshot)
    record_invariants.waits_are_true(snapshot)
    record_invariants.events_are_accounted_for(snapshot)
    return snapshot


def at_the_end(world: World) -> None:
    """What holds once faults have ended: also after everything that is still on its way has arrived."""
    before = Snapshot(world)
    heal(world)
    settle_down(world)
    record_invariants.converged(Snapshot(world))
    record_invariants.signed_in_lanes_drain_alone(before, Snapshot(world))
    if world.network.under_way:
        world.network.release()
        world.advance(1)
        settle_down(world)
        if (
            world.strayed <= MAX_CLOCK_JUMP
        ):  # else the time in which late creates are searched for may end early
            record_invariants.converged(Snapshot(world))
    world.verify_all()
    settle_down(world)
    record_invariants.converged(Snapshot(world), was_told=True)
    request_invariants.nothing_is_asked_in_vain(world)
    row_invariants.rebuilt_is_live(world)
    snapshot = always(world)
    record_invariants.converged(snapshot)
    record_invariants.events_are_accounted_for(snapshot, settled=True)
    following_invariants.lists_refer_to_the_newest(snapshot)
    following_invariants.counts_are_exact(snapshot)
