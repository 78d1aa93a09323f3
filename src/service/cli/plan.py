"""`mastertape plan` and `apply`: correct the records on PDSes that differ from the log."""

import asyncio
from collections.abc import Sequence

import click

from api.responses.ops.repairs import RepairRow, repair_row
from application.jobs import apply_found
from outbox.operations.operators import Operator
from replay.reconcile.drift import Repair
from replay.reconcile.verify import Verified
from replay.repair.jobs import REPAIR, RepairState, repair_of
from replay.repair.plan import Plan, StoredPlan, plan_for
from service.cli.output import (
    DRIFT,
    agreed,
    as_json,
    confirm,
    dry_run,
    of_account,
    operator_envelope,
    print_found,
    print_json,
    progress_bar,
    show_all,
)
from service.cli.preparing import container_of_command
from service.cli.verify import UNREAD, drift_as_json, track_of, verify_accounts


@click.command()
@of_account
@show_all
@as_json
def plan(did: str | None, *, show_all: bool, as_json: bool) -> None:
    found = asyncio.run(verify_accounts(did))
    planned = plan_for(drift for each in found for drift in each.drifts)
    _say(planned, found, show_all=show_all, as_json=as_json)


@click.command()
@of_account
@click.option(
    "--max-deletes",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Maximum number of records to delete.",
)
@dry_run
@agreed
@show_all
@as_json
def apply(
    did: str | None, *, max_deletes: int, dry_run: bool, agreed: bool, show_all: bool, as_json: bool
) -> None:
    """It is a repair of each account, which a running service finishes if this process dies; the relay sends it behind live work."""
    found = asyncio.run(verify_accounts(did))
    planned = plan_for(drift for each in found for drift in each.drifts)
    if dry_run:
        _say(planned, found, show_all=show_all, as_json=as_json)
        return
    if planned.counts.deletes > max_deletes:
        raise click.ClickException(
            f"the plan deletes {planned.counts.deletes} records and may delete {max_deletes}. Nothing was done;"
            f" look at the plan, and say --max-deletes {planned.counts.deletes} if it is right"
        )
    repairs: list[RepairRow] = []
    if any(step.repair is not Repair.NOTHING for step in planned.steps):
        if not as_json:
            _show(planned, show_all=show_all)
        confirm(f"This has the relay do {_summary(planned)}", agreed=agreed)
        repairs = asyncio.run(_repair_all(found))
    if as_json:
        print_json({"repairs": [each.model_dump(mode="json") for each in repairs]})
    elif repairs:
        applied, skipped = sum(each.applied for each in repairs), sum(each.skipped for each in repairs)
        click.echo(f"{applied} applied, {skipped} skipped in {len(repairs)} repairs; the relay does it")
    else:
        click.echo(f"nothing to repair in {sum(each.problem is None for each in found)} repos")
    _end(repairs, found)


def _end(repairs: Sequence[RepairRow], found: Sequence[Verified]) -> None:
    """Say what was not done, and exit with its code."""
    unfinished = [each for each in repairs if each.state != RepairState.DONE]
    for each in unfinished:
        problem = f": {each.problem}" if each.problem else ""
        click.echo(f"repair {each.id} of {each.did} is {each.state}{problem}; see /ops/repairs", err=True)
    left_out = sum(each.left_out for each in repairs)
    if left_out:
        click.echo(f"{left_out} more differ: apply again", err=True)
    if _warn(found) or unfinished:
        raise SystemExit(UNREAD)
    if left_out:
        raise SystemExit(DRIFT)


async def _repair_all(found: Sequence[Verified]) -> list[RepairRow]:
    """Run the repairs in this process, one after the other."""
    plans = [(each.repo.did, StoredPlan.of(each)) for each in found]
    wanted = [(did, plan) for did, plan in plans if plan.does_anything]
    repairs: list[RepairRow] = []
    async with container_of_command() as container:
        with progress_bar("applying") as progress:
            for did, plan in wanted:
                repair_id, is_new = apply_found(container.log, did, plan, Operator(operator_envelope()))
                if is_new:
                    await container.worker.run_now(REPAIR, did)
                with container.database.read() as connection:
                    row = repair_of(connection, repair_id)
                if row is not None:
                    repairs.append(repair_row(row))
                progress(len(repairs), len(wanted))
    return repairs


def _say(planned: Plan, found: Sequence[Verified], *, show_all: bool, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "steps": [
                    {"repair": step.repair.value, "points": step.points, **drift_as_json(step)}
                    for step in planned.steps
                ],
                "points": planned.counts.points,
                "deletes": planned.counts.deletes,
                "seconds": planned.seconds,
                "unjudged": sum(len(each.unjudged) for each in found),
            }
        )
    else:
        _show(planned, show_all=show_all)
    if unread := _warn(found):
        click.echo(f"the plan is without {unread} repos: plan again once they can be read", err=True)


def _warn(found: Sequence[Verified]) -> int:
    """Print to stderr what could not be compared, and return the number of repos that could not be read."""
    if unjudged := sum(len(each.unjudged) for each in found):
        click.echo(f"{unjudged} records are on their way or cannot be read, and were not judged", err=True)
    for each in found:
        if each.unread:
            which = f"{each.repo.did} at {each.repo.host}: {len(each.unread)} records cannot be read"
            click.echo(f"not read whole: {which}", err=True)
    unread = [each for each in found if each.problem is not None]
    for each in unread:
        click.echo(f"not read: {each.repo.did} at {each.repo.host}: {each.problem}", err=True)
    return len(unread)


def _show(planned: Plan, *, show_all: bool) -> None:
    click.echo(_summary(planned))
    rows = [
        (each.repair.value, each.kind.value, str(each.points), track_of(each), each.key.uri)
        for each in planned.steps
    ]
    columns = ("repair", "because", "points", "track", "record")
    print_found(columns, rows, kinds=2, count="records", show_all=show_all)


def _summary(planned: Plan) -> str:
    writes = sum(step.repair not in {Repair.REVERIFY, Repair.NOTHING} for step in planned.steps)
    return f"{writes} writes, {planned.counts.deletes} of them deletes; {planned.counts.points} points; about {planned.seconds:.0f} s"
