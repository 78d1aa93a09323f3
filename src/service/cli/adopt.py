"""`mastertape adopt DID`: make tracks of the records that an account's PDS already holds."""

import asyncio
from collections.abc import Callable
from typing import Any

import click

from api.responses.adoption import AdoptionBody, adoption_body
from application.account_deletion import leaving_since
from eventstore.unit_of_work import UnitOfWork
from identity.errors import IdentityError
from outbox.pds.client import RemoteUnknownError
from replay.adoption import jobs as adoptions
from replay.adoption.progress import Progress
from replay.adoption.states import AdoptionState
from replay.errors import UnderWayError
from service.cli.operator import operator_envelope
from service.cli.output import as_json, dry_run, print_json, print_table, progress_bar
from service.config.settings import load
from service.schema.migrate import require_schema
from service.wiring.bootstrap import Container, build


@click.command()
@click.argument("did", metavar="DID")
@dry_run
@as_json
def adopt(did: str, *, dry_run: bool, as_json: bool) -> None:
    """Make tracks of all records of DID, in the old collection too, that are none yet. Nothing is written to the PDS.

    Audio comes from the account's own PDS, or from the address in the record. --dry-run reads the records alone.
    """
    try:
        report = asyncio.run(_preview(did) if dry_run else _adopt(did))
    except (IdentityError, RemoteUnknownError) as error:
        raise click.ClickException(f"{error}. Nothing was adopted.") from error
    if as_json:
        print_json({**report, "written": not dry_run})
    else:
        _show(report, would=dry_run)
    if report["problem"] is not None:
        raise SystemExit(1)


async def _preview(did: str) -> dict[str, Any]:
    container = build(load())
    try:
        require_schema(container.database)
        progress = await container.adoptions.preview(did)
        return {**vars(progress), "problem": None}
    finally:
        await container.close()


async def _adopt(did: str) -> dict[str, Any]:
    container = build(load())
    try:
        require_schema(container.database)
        with progress_bar("adopting") as show:
            report = await _run(container, did, lambda progress: show(progress.seen, progress.found))
        return report.model_dump(mode="json")
    finally:
        await container.close()


async def _run(container: Container, did: str, show: Callable[[Progress], None]) -> AdoptionBody:
    """Run the adoption in this process; if it dies, a running service continues."""
    database = container.database
    envelope = operator_envelope()

    def request(unit: UnitOfWork) -> None:
        if leaving_since(unit.connection, did) is not None:
            raise click.ClickException(f"{did} is leaving. Nothing was adopted.")
        adoptions.request(unit.connection, did, envelope, unit.now)

    container.log.transact(did, envelope, request)
    if not await container.adoptions.run_one(did, show):
        raise UnderWayError
    with database.read() as connection:
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
    if report["problem"] is not None:
        goes_on = (
            "; a running service will continue it later"
            if report.get("state") == AdoptionState.WAITING
            else ""
        )
        click.echo(f"it stopped: {report['problem']}{goes_on}", err=True)
