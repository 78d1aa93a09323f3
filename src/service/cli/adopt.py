"""`mastertape adopt DID`: make tracks of the records that an account's PDS already holds."""

import asyncio
from collections.abc import Callable
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from api.responses.adoption import AdoptionBody, adoption_body
from application.account_deletion import leaving_since
from eventstore.unit_of_work import UnitOfWork
from identity.errors import IdentityError
from outbox.pds.client import RemoteUnknownError
from replay.adoption import jobs as adoptions
from replay.adoption.progress import Progress
from replay.adoption.states import AdoptionState
from replay.errors import UnderWayError
from service.cli.operator import by_operator
from service.cli.output import as_json, bar, dry_run, say_json
from service.config.settings import load
from service.schema.migrate import require_schema
from service.wiring.bootstrap import Application, build


@click.command()
@click.argument("did", metavar="DID")
@dry_run
@as_json
def adopt(did: str, *, dry_run: bool, as_json: bool) -> None:
    """Make tracks of all records of DID, in the old collection too, that are none yet. Nothing is written to the PDS.

    Audio comes from the account's own PDS, or from the address in the record. --dry-run reads the records alone.
    """
    try:
        report = asyncio.run(_looked(did) if dry_run else _adopted(did))
    except (IdentityError, RemoteUnknownError) as error:
        raise click.ClickException(f"{error}. Nothing was adopted.") from error
    if as_json:
        say_json({**report, "written": not dry_run})
    else:
        _show(report, would=dry_run)
    if report["problem"] is not None:
        raise SystemExit(1)


async def _looked(did: str) -> dict[str, Any]:
    application = build(load())
    try:
        require_schema(application.database)
        progress = await application.adoptions.preview(did)
        return {**vars(progress), "problem": None}
    finally:
        await application.close()


async def _adopted(did: str) -> dict[str, Any]:
    application = build(load())
    try:
        require_schema(application.database)
        with bar("adopting") as shown:
            report = await _run(application, did, lambda now: shown(now.seen, now.found))
        return report.model_dump(mode="json")
    finally:
        await application.close()


async def _run(application: Application, did: str, shown: Callable[[Progress], None]) -> AdoptionBody:
    """Run it in this process; if the process dies, a running service continues it."""
    database = application.database
    envelope = by_operator()

    def ask(unit: UnitOfWork) -> None:
        if leaving_since(unit.connection, did) is not None:
            raise click.ClickException(f"{did} is leaving. Nothing was adopted.")
        adoptions.request(unit.connection, did, envelope, unit.now)

    application.log.transact(did, envelope, ask)
    if not await application.adoptions.run_one(did, shown):
        raise UnderWayError
    with database.read() as connection:
        return adoption_body(connection, did)


def _show(report: dict[str, Any], *, would: bool) -> None:
    table = Table()
    for name in ("record", "error", "because"):
        table.add_column(name, overflow="fold")
    for problem in report["problems"]:
        table.add_row(problem["uri"], problem["error"], problem["message"])
    if table.row_count:
        Console().print(table)
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
