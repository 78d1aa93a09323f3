"""What operators read and do at `/ops`, on the command line: `status`, `failures`, `jobs`; `redrive`, `pause`, `resume`, `unfollow`, `follow`, which the log records."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import click
import sqlalchemy as sa
from pydantic import BaseModel

from api.responses.ops.deliveries import (
    FailureRow,
    cause_row,
    failure_rows,
    host_rows,
    lane_rows,
)
from api.responses.ops.repairs import job_row
from application.operators import operate
from eventstore.jobs import views
from eventstore.jobs.table import JobState
from outbox.operations.operators import Action, Operator, Selector, count, known, sent_at_once
from outbox.views import overview
from outbox.views.causes import causes
from outbox.views.failures import failing
from service.cli.log import configured_log
from service.cli.output import operator_envelope, print_json, print_table
from service.observability.subscribers import subscriber_rows

WORDS = {
    Action.REDRIVE: ("record", "will be tried again", "would be tried again"),
    Action.PAUSE: ("account", "paused", "would be paused"),
    Action.RESUME: ("account", "resumed", "would be resumed"),
    Action.UNFOLLOW: ("host", "followed no longer", "would be followed no longer"),
    Action.FOLLOW: ("host", "followed again", "would be followed again"),
}


def redrive(did: str | None, host: str | None, error: str | None, cause: str | None, **how: Any) -> None:
    _operate(Action.REDRIVE, Selector(did, host, error, cause), **how)


def pause(did_or_host: str, **how: Any) -> None:
    _operate(Action.PAUSE, Selector.named(did_or_host), **how)


def resume(did_or_host: str, **how: Any) -> None:
    _operate(Action.RESUME, Selector.named(did_or_host), **how)


def unfollow(host: str, **how: Any) -> None:
    _operate(Action.UNFOLLOW, Selector(host=host), **how)


def follow(host: str, **how: Any) -> None:
    _operate(Action.FOLLOW, Selector(host=host), **how)


def _operate(action: Action, which: Selector, *, reason: str | None, dry_run: bool, as_json: bool) -> None:
    with configured_log() as log:
        at_once = sent_at_once(log.database, which) if action is Action.RESUME else None
        affected = (
            count(log.database, action, which)
            if dry_run
            else operate(log, action, which, Operator(operator_envelope(), reason))
        )
    if as_json:
        facts = {"action": action.value, "affected": affected, "written": not dry_run}
        print_json(facts if at_once is None else {**facts, "sent_at_once": at_once})
        return
    noun, done, would = WORDS[action]
    sent = ""
    if at_once is not None:  # a resume also ends the waits of accounts that were not paused
        waits = f"what waits for {_number(at_once, 'account')} {'would be' if dry_run else 'is'} sent at once"
        sent = f"; {waits}" if at_once else "; nothing is to be sent at once"
    click.echo(f"{_number(affected, noun)} {would if dry_run else done}{sent}")


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


Cells = dict[str, str | Callable[[Any], str]]
"""By the title of a column, the field that it shows, or a function of the row."""


def _errors(row: FailureRow) -> str:
    last = row.last_error or row.blob_error or ""
    return last if row.first_error in {None, last} else f"{last} (at first: {row.first_error})"


FAILS: Cells = {"failing since": "failing_since", "first error": "first_error"}
FAILS_SINCE_SUCCESS: Cells = {**FAILS, "last success": "last_success_at"}
HOST_CELLS: Cells = {
    "host": "host",
    "breaker": lambda row: (
        "paused"
        if row.paused
        else f"{row.breaker}, doubted for {row.refuted_writes}"
        if row.refuted_writes
        else row.breaker
    ),
    "accounts": "lanes",
    "waiting": "waiting",
    **FAILS_SINCE_SUCCESS,
    "drains in": lambda row: (
        f"never: {row.stalled_by}" if row.drains_in is None else f"{row.drains_in:.0f} s"
    ),
}
SUBSCRIBER_CELLS: Cells = {
    "subscriber": "name",
    "runs": "kind",
    "behind": lambda row: f"{row.behind:.0f} {row.unit}",
    "does": "does",
}
LANE_CELLS: Cells = {"account": "did", "state": "state", "waiting": "waiting", **FAILS_SINCE_SUCCESS}
RECORD_CELLS: Cells = {
    "track": "track_id",
    "record": "record_uri",
    "state": "state",
    "failing since": "failing_since",
    "last error": _errors,
    "last success": "last_success_at",
    "next attempt": "next_attempt_at",
    "cause": "cause",
}
CAUSE_CELLS: Cells = {
    "cause": "id",
    "host": "host",
    "error": lambda row: f"{row.phase} {row.status or '-'} {row.error}",
    "records": "records",
    "failures": "failures",
    "last day": lambda row: str(sum(row.trend)),
    "first seen": "first_seen_at",
    "last seen": "last_seen_at",
}
JOB_CELLS: Cells = {
    **{name: name for name in ("kind", "subject", "host", "state", "due", "attempts", "progress")},
    **FAILS,
    "problem": "problem",
}


def status(*, did_or_host: str | None, limit: int, as_json: bool) -> None:
    with configured_log() as log, log.database.read() as connection:
        now = log.database.now(connection)
        if did_or_host is None:
            hosts = host_rows(connection, overview.hosts(connection, limit=limit), now)
            subscribers = (SUBSCRIBER_CELLS, subscriber_rows(connection, log))
            _print({"hosts": (HOST_CELLS, hosts), "subscribers": subscribers}, as_json=as_json)
            return
        which = known(connection, Selector.named(did_or_host))
        found = overview.lanes(connection, at=which.host, state=None, after="", limit=limit, did=which.did)
        lanes = lane_rows(connection, list(found), now)
        records = _records(connection, now, limit, did=which.did) if which.did else []
    of_account = {"records": (RECORD_CELLS, records)} if which.did else {}
    _print({"accounts": (LANE_CELLS, lanes), **of_account}, as_json=as_json)


def failures(
    *, cause: str | None, did: str | None, host: str | None, error: str | None, limit: int, as_json: bool
) -> None:
    with configured_log() as log, log.database.read() as connection:
        now = log.database.now(connection)
        which = known(connection, Selector(did, host, error, cause))
        if cause is None and did is None:
            found = causes(connection, now, host=which.host, error=error, limit=limit)
            _print({"causes": (CAUSE_CELLS, [cause_row(each) for each in found])}, as_json=as_json)
            return
        filters = {"cause": cause, "did": did, "host": which.host, "error": error}
        records = _records(connection, now, limit, **filters)
    _print({"records": (RECORD_CELLS, records)}, as_json=as_json)


def jobs(*, kind: str | None, state: str | None, limit: int, as_json: bool) -> None:
    if state is not None and state not in set(JobState):
        raise click.UsageError(f"there is no state {state!r}; there are {', '.join(JobState)}")
    with configured_log() as log, log.database.read() as connection:
        found = views.jobs(connection, kind=kind, state=state, limit=limit)
    _print({"jobs": (JOB_CELLS, [job_row(row) for row in found])}, as_json=as_json)


def _records(connection: sa.Connection, now: datetime, limit: int, **which: Any) -> list[FailureRow]:
    rows = connection.execute(failing(limit=limit, **which)).all()
    return failure_rows(connection, rows, now)


def _print(tables: dict[str, tuple[Cells, Sequence[BaseModel]]], *, as_json: bool) -> None:
    if as_json:
        print_json(
            {name: [row.model_dump(mode="json") for row in rows] for name, (_, rows) in tables.items()}
        )
        return
    for name, (cells, rows) in tables.items():
        print_table([*cells], [[_text(row, cell) for cell in cells.values()] for row in rows])
        if not rows:
            click.echo(f"no {name}")


def _text(row: Any, cell: str | Callable[[Any], str]) -> str:
    if not isinstance(cell, str):
        return cell(row)
    match getattr(row, cell):
        case None:
            return ""
        case datetime() as time:
            return f"{time:%Y-%m-%d %H:%M:%S}"
        case dict() as counts:
            return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
        case value:
            return str(value)
