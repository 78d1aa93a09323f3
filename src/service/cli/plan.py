"""`mastertape plan` and `apply`: correct the records on PDSes that differ from the log."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from replay.reconcile.apply import apply as apply_plan
from replay.reconcile.plan import Plan, Repair, Step, plan_for
from replay.reconcile.verify import Verified
from service.cli.log import configured_log
from service.cli.output import (
    agreed,
    as_json,
    confirm,
    dry_run,
    of_account,
    operator_envelope,
    print_json,
    print_table,
    show_all,
)
from service.cli.verify import UNREAD, drift_as_json, track_of, verify_accounts

if TYPE_CHECKING:
    from replay.reconcile.drift import DriftKind


@click.command()
@of_account
@show_all
@as_json
def plan(did: str | None, *, show_all: bool, as_json: bool) -> None:
    """Show what would make PDSes agree with the log: each write, its rate-limit points, and the total duration."""
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
    """Apply the plan. The relay sends it, behind live work."""
    found = asyncio.run(verify_accounts(did))
    planned = plan_for(drift for each in found for drift in each.drifts)
    if dry_run:
        _say(planned, found, show_all=show_all, as_json=as_json)
        return
    if any(step.repair is not Repair.NOTHING for step in planned.steps):
        confirm(f"This has the relay do {_summary(planned)}", agreed=agreed)
    with configured_log() as log:
        done = apply_plan(log, planned, operator_envelope(), max_deletes=max_deletes)
    if as_json:
        print_json({"done": {repair.value: count for repair, count in done.items()}})
    else:
        counts = ", ".join(f"{count} to {repair.value}" for repair, count in sorted(done.items()))
        repos = sum(each.problem is None for each in found)
        click.echo(f"{counts}; the relay does it" if counts else f"nothing to repair in {repos} repos")
    if _warn(found):
        raise SystemExit(UNREAD)


def _say(planned: Plan, found: Sequence[Verified], *, show_all: bool, as_json: bool) -> None:
    if as_json:
        print_json(_as_json(planned))
    else:
        _show(planned, show_all=show_all)
    if unread := _warn(found):
        click.echo(f"the plan is without {unread} repos: plan again once they can be read", err=True)


def _warn(found: Sequence[Verified]) -> int:
    """Print the repos that could not be read to stderr, and return their number."""
    unread = [each for each in found if each.problem is not None]
    for each in unread:
        click.echo(f"not read: {each.repo.did} at {each.repo.host}: {each.problem}", err=True)
    return len(unread)


def _show(planned: Plan, *, show_all: bool) -> None:
    click.echo(_summary(planned))
    if show_all:
        print_table(
            ("repair", "because", "points", "track", "record"),
            [
                (
                    step.repair.value,
                    step.drift.kind.value,
                    str(step.points),
                    track_of(step.drift),
                    step.drift.key.uri,
                )
                for step in planned.steps
            ],
        )
        return
    groups: dict[tuple[Repair, DriftKind], list[Step]] = defaultdict(list)
    for step in planned.steps:
        groups[step.repair, step.drift.kind].append(step)
    print_table(
        ("repair", "because", "records", "points", "for example"),
        [
            (
                repair.value,
                kind.value,
                str(len(steps)),
                str(sum(step.points for step in steps)),
                steps[0].drift.key.uri,
            )
            for (repair, kind), steps in sorted(groups.items())
        ],
    )


def _summary(planned: Plan) -> str:
    writes = sum(step.repair not in {Repair.REVERIFY, Repair.NOTHING} for step in planned.steps)
    return f"{writes} writes, {planned.deletes} of them deletes; {planned.points} points; about {planned.seconds:.0f} s"


def _as_json(planned: Plan) -> dict[str, Any]:
    return {
        "steps": [
            {"repair": step.repair.value, "points": step.points, **drift_as_json(step.drift)}
            for step in planned.steps
        ],
        "points": planned.points,
        "deletes": planned.deletes,
        "seconds": planned.seconds,
    }
