"""Invariants of all requests that the relays sent."""

from collections import Counter, defaultdict
from itertools import pairwise

from tests.fake_pds.limits import REQUESTS
from tests.simulation.network import REFRESHES, WRITES, Passage
from tests.simulation.relay_process import LEASE
from tests.simulation.world import BEGIN, World

MOST_A_MINUTE = 30
"""Requests for one account: several times what the busiest schedule needs, and what an endless loop sends in a second."""
MOST_A_RECORD = 10
"""For each record of a larger account: a record whose PDS refuses it is tried nine times in its first minute, with growing pauses."""


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
    """I7: no write of an account comes before the time that its host named, unless the relay died or lost the response."""
    until: dict[str, Passage] = {}
    for passage in sorted(world.network.passages, key=lambda each: each.sent_at):
        if passage.call not in WRITES or passage.did is None:
            continue
        told = until.get(passage.did)
        if told is not None and told.retry_after is not None and told.over_at < passage.sent_at:
            early = passage.sent_at < told.over_at + told.retry_after
            assert not early or is_excused(world, told, passage), f"{passage} after {told}"
        if passage.outcome == "429":
            until[passage.did] = passage


def budgets_are_left_alone(world: World) -> None:
    """I7: once a response shows that few points of an account are left, none of its writes comes before their reset.

    What was refused for its swap is read and written once more: what was begun is finished.
    """
    until: dict[str, tuple[Passage, float]] = {}
    for passage in sorted(world.network.passages, key=lambda each: each.sent_at):
        if passage.call not in WRITES or passage.did is None:
            continue
        if passage.did in until:
            told, reset = until[passage.did]
            early = told.over_at < passage.sent_at < reset
            assert not early or _finishes(told, passage) or is_excused(world, told, passage), (
                f"{passage} before {reset:.0f}, after {told}"
            )
        reset = _reset_of(passage)
        if reset is not None:
            until[passage.did] = passage, reset


def _reset_of(passage: Passage) -> float | None:
    """When the account's points are back, if less than the share that is left alone would be left after a create."""
    told = passage.response_headers
    if "ratelimit-policy" not in told or told["ratelimit-policy"].endswith(f"w={REQUESTS.seconds}"):
        return None
    left, limit = int(told["ratelimit-remaining"]), int(told["ratelimit-limit"])
    return int(told["ratelimit-reset"]) - BEGIN.timestamp() if left - 3 < limit / 5 else None


def _finishes(refused: Passage, again: Passage) -> bool:
    at_once = again.sent_at < refused.over_at + LEASE.total_seconds()
    return refused.outcome == "400" and refused.process is again.process and at_once


def is_excused(world: World, told: Passage, early: Passage) -> bool:
    """Whether an early request is excused: the relay that knew died or lost its lease, or the clock was set."""
    assert told.process is not None
    forgot = told.process.died_at < told.over_at + 1 or world.was_disturbed(told.over_at)
    moved = told.host != early.host
    return forgot or moved or any(told.over_at <= at <= early.sent_at for at in world.clock_sets)


def refresh_tokens_are_used_once(world: World) -> None:
    """I9: a refresh token is not sent again once a process that lived on has received its response."""
    received: dict[str, Passage] = {}
    for passage in sorted(world.network.passages, key=lambda each: each.sent_at):
        if passage.call not in REFRESHES or passage.token is None:
            continue
        before = received.get(passage.token)
        assert before is None or _was_lost(world, before), f"{passage} after {before}"
        if passage.outcome == "200" and not passage.fault.startswith("html"):
            received[passage.token] = passage


def _was_lost(world: World, received: Passage) -> bool:
    died_at = received.process.died_at if received.process is not None else 0.0
    return died_at < received.over_at + 1 or world.was_disturbed(received.over_at)


def faults_cost_few_requests(world: World) -> None:
    """I14: whatever fails, the requests for an account are few in every minute."""
    sent: dict[str | None, list[float]] = defaultdict(list)
    records: Counter[str | None] = Counter(world.owners.values())
    for passage in world.network.passages:  # in the order in which they were sent
        times = sent[passage.did]
        times.append(passage.sent_at)
        most = max(MOST_A_MINUTE, MOST_A_RECORD * records[passage.did])
        if len(times) > most:
            assert times[-1] - times[-1 - most] > 60, f"too many requests, the last one {passage}"


def nothing_is_asked_in_vain(world: World) -> None:
    before = len(world.network.passages)
    world.advance(90)
    assert world.network.passages[before:] == []
