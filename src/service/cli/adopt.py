"""`mastertape adopt DID`: make tracks of the records that an account's PDS already holds."""

import asyncio
import csv
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from api.responses.progress import AdoptionBody, adoption_body
from application.account import deletion_requested_at
from eventstore.change import Envelope
from eventstore.jobs.table import JobState
from eventstore.unit_of_work import UnitOfWork
from identity.errors import IdentityError
from outbox.pds.client import RemoteUnknownError
from replay.adoption import adopt as adoptions
from replay.adoption.peer_ids import PeerIds, assign, read_peer_ids, require_free, reserve
from replay.adoption.record import Progress
from replay.errors import PeerIdsError, UnderWayError
from service.cli.output import operator_envelope, print_json, print_table, progress_bar
from service.cli.preparing import container_of_command
from service.wiring.bootstrap import Container


def adopt(did: str, *, file: str | None, dry_run: bool, as_json: bool) -> None:
    ids = _read(file, did) if file is not None else None
    try:
        report = asyncio.run(_adopt(did, ids, dry_run=dry_run))
    except (IdentityError, RemoteUnknownError) as error:
        raise click.ClickException(f"{error}. Nothing was adopted.") from error
    if as_json:
        print_json({**report, "written": not dry_run})
    else:
        _show(report, would=dry_run)
    if report["problem"] is not None:
        raise SystemExit(1)


def _read(file: str, did: str) -> PeerIds:
    try:
        with Path(file).open(newline="", encoding="utf-8-sig") as lines:
            return read_peer_ids(lines, did)
    except (UnicodeDecodeError, csv.Error) as error:
        raise PeerIdsError(f"{file} is not a CSV file in UTF-8: {error}") from None


async def _adopt(did: str, ids: PeerIds | None, *, dry_run: bool) -> dict[str, Any]:
    envelope = operator_envelope()
    async with container_of_command() as container:
        log = container.log
        if dry_run:
            if ids is not None:
                with log.database.read() as connection:
                    require_free(connection, ids)
            return {**vars(await container.adoptions.preview(did)), "problem": None}
        if ids is not None:
            log.transact(None, envelope, lambda unit: reserve(unit.connection, ids))
        with progress_bar("adopting") as show:
            report = await _run(container, did, envelope, lambda now: show(now.seen, now.found))
        if ids is None:
            return report.model_dump(mode="json")
        if report.problem is None and report.state != JobState.DONE:
            report = report.model_copy(update={"problem": "another process goes on with it"})
        assigned = log.transact(None, envelope, lambda unit: assign(unit.connection, ids))
    return {**report.model_dump(mode="json"), "peer_ids": assigned}


async def _run(
    container: Container, did: str, envelope: Envelope, show: Callable[[Progress], None]
) -> AdoptionBody:
    """Run the adoption in this process; if it dies, a running service continues."""

    def request(unit: UnitOfWork) -> None:
        if deletion_requested_at(unit.connection, did) is not None:
            raise click.ClickException(f"{did} is leaving. Nothing was adopted.")
        adoptions.request(unit.connection, did, envelope, unit.now)

    container.log.transact(did, envelope, request)
    if not await container.worker.run_now(
        adoptions.ADOPTION, did, partial(container.adoptions.work, report=show)
    ):
        raise UnderWayError
    with container.database.read() as connection:
        return adoption_body(connection, did)


def _show(report: dict[str, Any], *, would: bool) -> None:
    print_table(
        ("record", "error", "because"),
        [(problem["uri"], problem["error"], problem["message"]) for problem in report["problems"]],
    )
    verb = "would be adopted" if would else "adopted"
    click.echo(
        f"{report['found']} records: {report['adopted']} {verb}, {report['known']} known before,"
        f" {report['refused']} not adopted"
    )
    if "peer_ids" in report:
        ids = report["peer_ids"]
        click.echo(
            f"{ids['tracks']} have the ids of the file; {ids['missing']} of its records are no tracks here"
        )
    if report["problem"] is not None:
        waits = report.get("state") == JobState.WAITING
        goes_on = "; a running service will continue it later" if waits else ""
        click.echo(f"it stopped: {report['problem']}{goes_on}", err=True)
        if "peer_ids" in report:
            click.echo(
                "the rest has no ids of the file: once it is adopted, run this again with the file", err=True
            )
