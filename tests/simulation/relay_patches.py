"""Replaces real time in the relay, and records its log messages."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from unittest.mock import patch

from eventstore.coordination import due_parts as due_parts_module
from eventstore.jobs.worker import Worker
from eventstore.sql.database import Database
from outbox.lists import references
from outbox.probes import jobs as probe_jobs_module
from outbox.relay import relay as relay_module
from tests.outbox.rigs import working_relay as working_relay_module
from tests.simulation import idle_polls
from tests.simulation.idle_polls import IdlePolls, Poll, as_text
from tests.simulation.memory_database import driver_of
from tests.simulation.virtual_time import VirtualLoop

POLL_SECONDS, IDLE_SECONDS = 20.0, 120.0
"""Instead of one or fifteen: an idle relay's polls are most of what a run costs."""

FOREIGN_SECONDS = 1800.0
"""Instead of a day, in which lists follow records of other accounts."""
GONE_AFTER = timedelta(hours=4)
"""Instead of three days, through which a relay would poll again and again."""


class Errors(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        trouble = f": {record.exc_info[1]!r}" if record.exc_info else ""
        self.lines.append(f"{record.getMessage()}{trouble}")


_CROWDED = """select host, count(*) from mirror_lane join pds_host using (host)
    where lease_until > ? group by host, max_lanes having count(*) > max_lanes"""


def _counted(claim: Poll, clock: Callable[[], datetime], crowded: list[object]) -> Poll:
    """The claim, with the leases of each host counted after it."""

    def counted(database: Database, *parts: Any, **options: Any) -> list[Any]:
        lanes = claim(database, *parts, **options)
        if lanes:
            crowded.extend(driver_of(database).execute(_CROWDED, (as_text(clock()),)).fetchall())
        return lanes

    return counted


def _quick(module: Any, name: str, polls: IdlePolls, rows: str) -> Any:
    return patch.object(module, name, polls.wrap(getattr(module, name), rows))


def _quick_worker(polls: IdlePolls) -> Any:
    real, looks = Worker._due, dict[Worker, Poll]()  # noqa: SLF001

    def due(worker: Worker, parts: Any) -> dict[str, list[range]]:
        look = looks.setdefault(
            worker, polls.wrap(lambda _database, these: real(worker, these), "mirror_lane")
        )
        return look(worker._database, parts) or {} if parts else {}  # noqa: SLF001

    return patch.object(Worker, "_due", due)


def patched(
    clock: Callable[[], datetime], loop: VirtualLoop, errors: logging.Handler, crowded: list[object]
) -> Callable[[], None]:
    """Give the relay our time, and hear what it has to say; undone by calling what is given back.

    `crowded` gets the hosts that had more leases after a claim than they may.
    """
    polls, root = IdlePolls(clock), logging.getLogger()
    lease_clock = partial(relay_module.LeaseClock, clock=loop.time)
    counted = _counted(relay_module.claim, clock, crowded)
    patches = (
        patch.object(relay_module, "LeaseClock", lease_clock),
        patch.object(due_parts_module, "IDLE_SECONDS", IDLE_SECONDS),
        patch.object(relay_module, "BUSY_POLL_SECONDS", POLL_SECONDS),
        _quick_worker(polls),
        _quick(working_relay_module, "tend_lanes", polls, idle_polls.TARGETS),
        _quick(working_relay_module, "wake_stuck_lanes", polls, idle_polls.TARGETS),
        patch.object(probe_jobs_module, "GONE_AFTER", GONE_AFTER),
        patch.object(references, "ELSEWHERE", replace(references.ELSEWHERE, seconds=FOREIGN_SECONDS)),
        patch.object(relay_module, "claim", polls.wrap(counted, idle_polls.LANES_DUE)),
        patch.object(relay_module, "seconds_until_due", polls.wrap_due(relay_module.seconds_until_due)),
    )
    for each in patches:
        each.start()
    root.addHandler(errors)

    def restore() -> None:
        for each in patches:
            each.stop()
        root.removeHandler(errors)

    return restore
