"""`mastertape status` and `failures`: what operators read at `/ops`, on the command line."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import click
from sqlalchemy import Connection

from api.responses.ops.deliveries import (
    CauseRow,
    FailureRow,
    HostRow,
    LaneRow,
    cause_row,
    failure_rows,
    host_rows,
    lane_rows,
)
from outbox.operations.operators import Selector, known
from outbox.views import overview
from outbox.views.causes import causes
from outbox.views.failures import Wanted, failing
from service.cli.log import configured_log
from service.cli.output import as_json, print_json, print_table
from service.observability.subscribers import SubscriberRow, subscriber_rows

at_most = click.option("--limit", default=100, type=click.IntRange(1, 1000), help="How many rows, at most.")
Cells = dict[str, Callable[[Any], str]]


def _drains(row: HostRow) -> str:
    return f"never: {row.stalled_by}" if row.drains_in is None else f"{row.drains_in:.0f} s"


def _errors(row: FailureRow) -> str:
    last = row.last_error or row.blob_error or ""
    return last if row.first_error in {None, last} else f"{last} (at first: {row.first_error})"


HOST_CELLS: Cells = {
    "host": lambda row: row.host,
    "breaker": lambda row: "paused" if row.paused else row.breaker,
    "accounts": lambda row: _counts(row.lanes),
    "waiting": lambda row: str(row.waiting),
    "failing since": lambda row: _time(row.failing_since),
    "first error": lambda row: row.first_error or "",
    "last success": lambda row: _time(row.last_success_at),
    "drains in": _drains,
}
SUBSCRIBER_CELLS: Cells = {
    "subscriber": lambda row: row.name,
    "runs": lambda row: row.kind,
    "behind": lambda row: f"{row.behind:.0f} {row.unit}",
    "does": lambda row: row.does,
}
LANE_CELLS: Cells = {
    "account": lambda row: row.did,
    "state": lambda row: row.state,
    "waiting": lambda row: _counts(row.waiting),
    "failing since": lambda row: _time(row.failing_since),
    "first error": lambda row: row.first_error or "",
    "last success": lambda row: _time(row.last_success_at),
}
RECORD_CELLS: Cells = {
    "track": lambda row: str(row.track_id),
    "record": lambda row: row.record_uri,
    "state": lambda row: row.state,
    "failing since": lambda row: _time(row.failing_since),
    "last error": _errors,
    "last success": lambda row: _time(row.last_success_at),
    "next attempt": lambda row: _time(row.next_attempt_at),
    "cause": lambda row: row.cause or "",
}
CAUSE_CELLS: Cells = {
    "cause": lambda row: row.id,
    "host": lambda row: row.host,
    "error": lambda row: f"{row.phase} {row.status or '-'} {row.error}",
    "records": lambda row: str(row.records),
    "failures": lambda row: str(row.failures),
    "last day": lambda row: str(sum(row.trend)),
    "first seen": lambda row: _time(row.first_seen_at),
    "last seen": lambda row: _time(row.last_seen_at),
}


@click.command()
@click.argument("did_or_host", metavar="[DID-or-HOST]", required=False)
@at_most
@as_json
def status(*, did_or_host: str | None, limit: int, as_json: bool) -> None:
    """Show since when hosts fail and what waits there; of a HOST its accounts, of a DID its lane and failing records.

    And how far behind the log each subscriber is: what runs in each append, or follows it.
    """
    with configured_log() as log, log.database.read() as connection:
        now = log.database.now(connection)
        if did_or_host is None:
            hosts = host_rows(connection, list(overview.hosts(connection, after="", limit=limit)), now)
            subscribers = (SUBSCRIBER_CELLS, subscriber_rows(connection, log))
            _print({"hosts": (HOST_CELLS, hosts), "subscribers": subscribers}, as_json=as_json)
            return
        which = known(connection, Selector.named(did_or_host))
        lanes = _lanes(connection, which, now, limit)
        records = _records(connection, now, Wanted(did=which.did), limit) if which.did else []
    of_account = {"records": (RECORD_CELLS, records)} if which.did else {}
    _print({"accounts": (LANE_CELLS, lanes), **of_account}, as_json=as_json)


@click.command()
@click.option("--cause", help="List the records that fail for this cause.")
@click.option("--did", help="List the records of this account that fail.")
@click.option("--host", help="Only at this host.")
@click.option("--error", help="Only with this error.")
@at_most
@as_json
def failures(
    *, cause: str | None, did: str | None, host: str | None, error: str | None, limit: int, as_json: bool
) -> None:
    """Show why requests to PDSes fail, by cause; of a cause or an account, the records that fail."""
    with configured_log() as log, log.database.read() as connection:
        now = log.database.now(connection)
        which = known(connection, Selector(did, host, error, cause))
        if cause is None and did is None:
            found = causes(connection, now, host=which.host, error=error, limit=limit)
            _print({"causes": (CAUSE_CELLS, [cause_row(each) for each in found])}, as_json=as_json)
            return
        filters = {"cause": cause, "did": did, "host": which.host, "error": error}
        records = _records(connection, now, Wanted(**filters), limit)
    _print({"records": (RECORD_CELLS, records)}, as_json=as_json)


def _lanes(connection: Connection, which: Selector, now: datetime, limit: int) -> list[LaneRow]:
    rows = overview.lanes(connection, at=which.host, state=None, after="", limit=limit, did=which.did)
    return lane_rows(connection, list(rows), now)


def _records(connection: Connection, now: datetime, wanted: Wanted, limit: int) -> list[FailureRow]:
    rows = connection.execute(failing(wanted, limit=limit)).all()
    return failure_rows(connection, rows, now)


def _print(
    tables: dict[str, tuple[Cells, Sequence[HostRow | LaneRow | FailureRow | CauseRow | SubscriberRow]]],
    *,
    as_json: bool,
) -> None:
    if as_json:
        print_json(
            {name: [row.model_dump(mode="json") for row in rows] for name, (_, rows) in tables.items()}
        )
        return
    for name, (cells, rows) in tables.items():
        print_table([*cells], [[cell(row) for cell in cells.values()] for row in rows])
        if not rows:
            click.echo(f"no {name}")


def _counts(of: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(of.items()))


def _time(time: datetime | None) -> str:
    return "" if time is None else f"{time:%Y-%m-%d %H:%M:%S}"
