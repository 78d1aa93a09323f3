"""Fills a database as it is in a large outage: records that fail, their lanes and hosts, causes and attempts.

The rows are inserted as a relay would leave them; neither a relay nor a PDS takes part.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import delete, select

from aggregates.values import tid_of
from bench.logs import COLLECTION, START, did_of, register, track_of, vacuum
from eventstore.event_log import EventLog
from eventstore.projection import insert_rows
from identity.accounts.accounts import account
from outbox.mirror.failure_causes import HOUR, HOURS_OF_TREND, Cause, first_hour
from outbox.mirror.states import BreakerState, LaneState, MirrorReason, TargetState
from outbox.mirror.tables import (
    blob_job,
    delivery_attempt,
    failure_cause,
    failure_hour,
    mirror_lane,
    mirror_target,
    pds_host,
)
from outbox.mirror.targets import PUT
from projections.history import history
from projections.tracks.table import normalized, row_of, tracks
from replay.repair.jobs import RepairState, repair

IN_THE_LOG: Final = 60
"""Tracks whose events are in the log too: a page of the audit, and some to look at."""
ATTEMPTS_OF_RECORD: Final = 3
FIRST_POSITION: Final = 1_000_000
"""Of the rows of history whose events are not in the log."""
MESSAGE: Final = "All connection attempts failed after 10.0 s: the server at this address did not answer"
ERRORS: Final = (
    ("write", None, "ConnectError"),
    ("write", 502, "UpstreamFailure"),
    ("upload", 413, "BlobTooLarge"),
)
"""Phase, status and name of what the hosts answer."""


@dataclass(frozen=True)
class Outage:
    """How large it is."""

    records: int = 10_000
    lanes: int = 1_000
    hosts: int = 200

    def account_of(self, track: int) -> int:
        return (track - 1) % self.lanes + 1

    def host_of(self, account_number: int) -> str:
        return _origin(account_number % self.hosts)


def fill(log: EventLog, size: Outage) -> None:
    """Insert the rows of an outage of this size into an empty database."""
    in_the_log = min(IN_THE_LOG, size.records)
    for number in range(1, in_the_log + 1):
        register(log, number, account=size.account_of(number))
    with log.database.write() as connection:
        now = log.database.now(connection)
        generations = dict(
            connection.execute(select(mirror_target.c.subject_id, mirror_target.c.desired_gen)).all()
        )
        for table in (mirror_target, mirror_lane):
            connection.execute(delete(table))
        others = range(in_the_log + 1, size.records + 1)
        for table, rows in {
            account: _accounts(size, now),
            pds_host: _hosts(size, now),
            mirror_lane: _lanes(size, now),
            mirror_target: _targets(size, now, generations),
            blob_job: _uploads(size, now),
            tracks: _tracks(size, others),
            history: _history(size, others, now),
            delivery_attempt: _attempts(size, now, generations),
            failure_cause: _causes(size, now),
            failure_hour: _hours(size, now),
            repair: _repairs(size, now),
        }.items():
            insert_rows(connection, table, list(rows))
    vacuum(log)


def _origin(number: int) -> str:
    return f"https://pds-{number:03}.example.org"


def _cause(host: str, number: int) -> Cause:
    return Cause(host, *ERRORS[number % len(ERRORS)])


def _error(number: int) -> str:
    return f"{ERRORS[number % len(ERRORS)][-1]}: {MESSAGE}"


def _accounts(size: Outage, now: datetime) -> Iterator[dict[str, Any]]:
    for number in range(1, size.lanes + 1):
        yield {
            "did": did_of(number),
            "handle": f"artist-{number}.example.org",
            "pds_url": size.host_of(number),
            "display_name": f"Artist {number}",
            "created_at": START,
            "updated_at": now,
        }


def _hosts(size: Outage, now: datetime) -> Iterator[dict[str, Any]]:
    """Every second host fails, half of those with an open breaker; every tenth is paused."""
    for number in range(size.hosts):
        fails = number % 2 == 0
        yield {
            "host": _origin(number),
            "paused": number % 10 == 1,
            "breaker": BreakerState.OPEN if number % 4 == 0 else BreakerState.CLOSED,
            "retry_at": now + timedelta(minutes=number % 30),
            "failures": 5 if fails else 0,
            "failing_since": now - timedelta(minutes=number + 1) if fails else None,
            "first_error": _error(number) if fails else None,
            "last_error": _error(number + 1) if fails else None,
            "budget_limit": 3000,
            "budget_left": 1000 + number,
            "budget_seconds": 300,
            "budget_reset": now + timedelta(seconds=200),
        }


def _lanes(size: Outage, now: datetime) -> Iterator[dict[str, Any]]:
    """One lane of ten waits for its account."""
    waiting = [state for state in LaneState if state is not LaneState.READY]
    for number in range(1, size.lanes + 1):
        yield {
            "did": did_of(number),
            "host": size.host_of(number),
            "state": waiting[number // 10 % len(waiting)] if number % 10 == 0 else LaneState.READY,
            "paused": number % 50 == 1,
            "due_at": now,
            "not_before": now + timedelta(minutes=10),
            "failures": 3,
            "failing_since": now - timedelta(hours=2),
            "first_error": _error(number),
            "last_success_at": now - timedelta(hours=3),
        }


def _targets(size: Outage, now: datetime, generations: Mapping[int, int]) -> Iterator[dict[str, Any]]:
    """Of ten records, seven are tried again, two are refused, and one is held; one in forty is detached."""
    for number in range(1, size.records + 1):
        state, reason = _trouble(number)
        generation = generations.get(number, FIRST_POSITION + number)
        yield {
            **_key(size, number),
            "subject_id": number,
            "desired_gen": generation,
            "desired_op": PUT,
            "detached": not (number - 7) % 40,
            "former": False,
            "state": state,
            "reason": reason,
            "attempts": ATTEMPTS_OF_RECORD,
            "failed_gen": generation,
            "not_before": now + timedelta(minutes=5),
            "last_error": _error(number),
            "failing_since": now - timedelta(hours=2),
            "first_error": _error(number),
            "cause": _cause(size.host_of(size.account_of(number)), number).id,
        }


def _trouble(number: int) -> tuple[TargetState, str]:
    match number % 10:
        case 0:
            return TargetState.HELD, MirrorReason.FOREIGN_EDIT
        case 8 | 9:
            return TargetState.REJECTED, "InvalidRecord"
    return TargetState.BACKOFF, MirrorReason.BACKOFF


def _key(size: Outage, number: int) -> dict[str, str]:
    return {
        "did": did_of(size.account_of(number)),
        "collection": COLLECTION,
        "rkey": tid_of(START + timedelta(seconds=number)),
    }


def _uploads(size: Outage, now: datetime) -> Iterator[dict[str, Any]]:
    """Every twentieth record waits for an upload, which fails."""
    for number in range(20, size.records + 1, 20):
        yield {
            "did": did_of(size.account_of(number)),
            "subject_id": number,
            "audio_cid": f"{number}",
            "requested": True,
            "attempts": 2,
            "last_error": _error(2),
            "failing_since": now - timedelta(hours=1),
            "first_error": _error(2),
            "cause": _cause(size.host_of(size.account_of(number)), 2).id,
        }


def _tracks(size: Outage, numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
    row = row_of(track_of(1))
    for number in numbers:
        title = f"Take {number}"
        own = {"track_id": number, "title": title, "search": normalized(title), "audio_cid": f"{number}"}
        yield row | own | _key(size, number)


def _history(size: Outage, numbers: Sequence[int], now: datetime) -> Iterator[dict[str, Any]]:
    for number in numbers:
        did = did_of(size.account_of(number))
        yield {
            "position": FIRST_POSITION + number,
            "did": did,
            "track_id": number,
            "version": 1,
            "type": "Created",
            "topic": "bench",
            "actor": did,
            "via": "bench",
            "request_id": "bench",
            "at": now - timedelta(hours=2),
            "touches_record": True,
            "changes": [],
        }


def _attempts(size: Outage, now: datetime, generations: Mapping[int, int]) -> Iterator[dict[str, Any]]:
    """Attempts of the last day, in the order of their times."""
    every = timedelta(days=1) / (ATTEMPTS_OF_RECORD * size.records)
    begins = now - timedelta(days=1)
    for attempt in range(ATTEMPTS_OF_RECORD):
        for number in range(1, size.records + 1):
            begins += every
            yield {
                **_key(size, number),
                "gen": generations.get(number, FIRST_POSITION + number),
                "op": PUT,
                "epoch": attempt + 1,
                "started_at": begins,
                "ended_at": begins + timedelta(seconds=10),
                "outcome": "ambiguous",
                "error": _error(number),
            }


def _causes(size: Outage, now: datetime) -> Iterator[dict[str, Any]]:
    for host_number in range(size.hosts):
        for number, (_, _, name) in enumerate(ERRORS):
            found = _cause(_origin(host_number), number)
            yield {
                "id": found.id,
                **vars(found),
                "first_seen_at": now - timedelta(days=1),
                "last_seen_at": now - timedelta(seconds=host_number),
                "failures": 24 * (host_number + number + 1),
                "sample_did": did_of(host_number or 1),
                "sample_subject_id": host_number or 1,
                "sample_error": f"{name}: {MESSAGE}",
            }


def _hours(size: Outage, now: datetime) -> Iterator[dict[str, Any]]:
    for host_number in range(size.hosts):
        for number in range(len(ERRORS)):
            found = _cause(_origin(host_number), number).id
            for hour in range(HOURS_OF_TREND):
                yield {
                    "cause": found,
                    "hour": first_hour(now) + hour * HOUR,
                    "failures": host_number + 37 * hour % 100 + 1,
                }


def _repairs(size: Outage, now: datetime) -> Iterator[dict[str, Any]]:
    """More than a page of repairs that were planned and wait for an admin."""
    for number in range(1, min(IN_THE_LOG, size.lanes) + 1):
        yield {
            "did": did_of(number),
            "state": RepairState.PLANNED,
            "actor": did_of(number),
            "via": "bench",
            "request_id": "bench",
            "requested_at": now,
            "not_before": now,
            "planned_at": now,
            "counts": [{"repair": "restore", "because": "missing", "records": 10, "points": 30}],
            "skips": [],
            "lease_until": now,
        }
