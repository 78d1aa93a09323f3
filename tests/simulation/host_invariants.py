"""Invariants of all requests to a host: what it tells one relay holds for all."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from outbox.mirror.hosts import CLOCK_TOLERANCE
from outbox.pds.client import DESCRIBE_SERVER, GET_LATEST_COMMIT, GET_RECORD, GET_REPO_STATUS, UPLOAD_BLOB
from tests.fake_pds.limits import REQUESTS
from tests.simulation.network import WRITES, Passage
from tests.simulation.request_invariants import is_excused
from tests.simulation.world import BEGIN, World

OF_DELIVERIES = WRITES | {GET_RECORD, UPLOAD_BLOB}
READS = {GET_RECORD, GET_REPO_STATUS, GET_LATEST_COMMIT, DESCRIBE_SERVER}
OF_THE_RELAY = OF_DELIVERIES | READS
NOTED_WITHIN = 1.0
"""Time for a response to be recorded, and for earlier requests to arrive."""


@dataclass(frozen=True)
class _Pause:
    """A host has named a time before which no request may come."""

    passage: Passage
    until: float


def hosts_are_left_alone(world: World) -> None:
    """I7 of a host: no request before the time it has named, and none of the share that is left to reads and sign-ins.

    What was begun is finished: what was refused for its swap is read and written once more.
    """
    pauses: dict[str, list[_Pause]] = defaultdict(list)
    last: dict[Any, Passage] = {}
    begun: dict[Passage, float] = {}
    for passage in sorted(world.network.passages, key=lambda each: each.sent_at):
        if passage.process is None or passage.call not in OF_THE_RELAY:
            continue
        before = last.get((passage.process, passage.did))
        goes_on = before is not None and _goes_on(before, passage)
        begun[passage] = begun[before] if before is not None and goes_on else passage.sent_at
        last[passage.process, passage.did] = passage
        for each in pauses[passage.host]:
            early = each.passage.over_at + NOTED_WITHIN < begun[passage] and passage.sent_at < each.until
            assert not early or _is_excused(world, each, passage), (
                f"{passage} before {each.until:.0f}, after {each.passage}"
            )
        until = _left_alone_until(passage)
        if until is not None:
            pauses[passage.host].append(_Pause(passage, until))


def _goes_on(before: Passage, passage: Passage) -> bool:
    """Whether it is of the same delivery: a write was refused and is read back, or was read back and is sent anew."""
    follows = before.over_at <= passage.sent_at < before.over_at + NOTED_WITHIN
    return (
        follows and (before.outcome == "400" or before.call == GET_RECORD) and passage.call in OF_DELIVERIES
    )


def _left_alone_until(passage: Passage) -> float | None:
    is_of_host = passage.response_headers.get("ratelimit-policy", "").endswith(f"w={REQUESTS.seconds}")
    if passage.outcome == "429" and (is_of_host or passage.call in READS):
        return passage.over_at + (passage.retry_after or 0)
    if not is_of_host:
        return None
    left, limit = (
        int(passage.response_headers["ratelimit-remaining"]),
        int(passage.response_headers["ratelimit-limit"]),
    )
    reset = (
        int(passage.response_headers["ratelimit-reset"]) - BEGIN.timestamp() - CLOCK_TOLERANCE.total_seconds()
    )
    return reset if left - 1 < limit / 5 else None


def _is_excused(world: World, pause: _Pause, early: Passage) -> bool:
    return is_excused(world, pause.passage, early) or world.was_disturbed(early.sent_at)
