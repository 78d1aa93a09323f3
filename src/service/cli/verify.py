"""`mastertape verify pds` and `verify media`, `plan` and `apply`: compare PDSes and the media store with the log, and correct them."""

import asyncio
import logging
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import timedelta
from functools import partial
from typing import Any, Final

import click

from api.responses.ops.repairs import RepairRow, repair_row
from application.operators import apply_found
from eventstore.jobs.queue import is_unfinished
from identity.resolution.address_policy import AddressPolicy
from outbox.operations.operators import Operator
from outbox.repo.reads import RepoReads
from outbox.threads import in_thread
from replay.errors import RepairNotFoundError
from replay.media import MediaFinding, MediaRepair, check_media
from replay.reconcile.drift import Drift, Repair
from replay.reconcile.outdated import outdated_records
from replay.reconcile.verify import Repo, Verified, Verifier, repos_of
from replay.recovered import resume_account
from replay.repair.jobs import REPAIR, RepairState, repair_of
from replay.repair.plan import Plan, PlanCounts, columns_of, plan_for
from service.cli.output import (
    DRIFT,
    confirm,
    counted,
    operator_envelope,
    print_found,
    print_json,
    progress_bar,
)
from service.cli.preparing import container_of_command
from service.observability.expected import first_line
from service.wiring.bootstrap import Container
from service.wiring.identity import pds_http_client
from service.wiring.log import staging_folder

TO_DO: Final = "--repair, or put it back from a backup of the media"
POLL_SECONDS: Final = 0.2
UNREAD: Final = 1
"""Exit code when a repo could not be read, or its account not be resumed."""

logger: Final = logging.getLogger("mastertape.service")


def pds(did: str | None, *, show_all: bool, as_json: bool) -> None:
    found = asyncio.run(verify_accounts(did, resumes_lanes=True))
    if as_json:
        print_json(
            {
                "repos": [
                    {
                        "did": each.repo.did,
                        "host": each.repo.host,
                        "records": each.records,
                        "problem": each.problem,
                        "drifts": [drift_as_json(drift) for drift in each.drifts],
                        "unjudged": sorted(key.uri for key in each.unjudged),
                    }
                    for each in found
                ]
            }
        )
    else:
        _show(found, show_all=show_all)
    if any(each.drifts or each.unjudged for each in found):
        raise SystemExit(DRIFT)
    if any(each.problem for each in found):
        raise SystemExit(UNREAD)


async def verify_accounts(did: str | None, *, resumes_lanes: bool = False) -> list[Verified]:
    """Compare all repos, or that of one account; `resumes_lanes` lets the relay send again for verified accounts after a restore."""
    async with container_of_command() as container:
        repos = repos_of(container.database, did, collections=container.kinds.collections)
        if did is not None and not repos:
            raise click.ClickException(
                f"nothing is known of {did!r}: name the DID of an account that has records here"
            )
        log, kinds = container.log, container.kinds
        outdated = partial(outdated_records, log, kinds)
        verifier = Verifier(container.database, RepoReads(container.services.pds), kinds, outdated)

        async def verified(repo: Repo) -> Verified:
            found = Verified(repo, 0)
            try:
                found = await verifier.verify(repo)
                if resumes_lanes:
                    await in_thread(resume_account, log, found, kinds, operator_envelope())
            except Exception as error:  # one account must not end the verification of all others
                logger.exception("verify_failed", extra={"did": repo.did})
                found = replace(found, problem=f"{type(error).__name__}: {first_line(error)}")
            return found

        found: list[Verified] = []
        with progress_bar("verifying") as progress:
            for done in asyncio.as_completed([verified(repo) for repo in repos]):
                found.append(await done)
                progress(len(found), len(repos))
        return sorted(found, key=lambda each: each.repo.did)


def _show(found: Sequence[Verified], *, show_all: bool) -> None:
    drifts = [drift for each in found for drift in each.drifts]
    unread = [each for each in found if each.problem is not None]
    records, unjudged = sum(each.records for each in found), sum(len(each.unjudged) for each in found)
    said = f"{records} records in {len(found) - len(unread)} repos: "
    said += counted(drift.kind.value for drift in drifts) or "no drift"
    if unjudged:
        said += f"; {unjudged} records are on their way or cannot be read, and were not judged"
    if unread:
        said += f"; {len(unread)} repos could not be read"
    click.echo(said)
    rows = [(drift.kind.value, track_of(drift), drift.key.uri) for drift in drifts]
    print_found(("drift", "track", "record"), rows, kinds=1, count="records", show_all=show_all)
    if show_all:
        for key in (key for each in found for key in each.unjudged):
            click.echo(f"not judged: {key.uri}")
        for each in unread:
            click.echo(f"not read: {each.repo.did} at {each.repo.host}: {each.problem}")
        return
    rows = [(each.repo.host, str(each.problem), each.repo.did) for each in unread]
    print_found(("not read at", "because"), rows, kinds=2, count="repos", show_all=False)


def track_of(drift: Drift) -> str:
    return str(drift.track_id) if drift.track_id is not None else "-"


def drift_as_json(drift: Drift) -> dict[str, Any]:
    return {
        "kind": drift.kind.value,
        "track_id": drift.track_id,
        "uri": drift.key.uri,
        "expected_cid": drift.expected_cid,
        "found_cid": drift.found_cid,
    }


def media(*, deep: bool, repair: bool, show_all: bool, as_json: bool) -> None:
    found, repaired = asyncio.run(_verify_media(deep=deep, repair=repair))
    if as_json:
        print_json({"findings": [asdict(each) | {"repaired": each in repaired} for each in found]})
    else:
        fetched = f"; {len(repaired)} fetched again" if repaired else ""
        click.echo((counted(each.kind.value for each in found) or "every track has its bytes") + fetched)
        rows = [
            (
                each.kind.value,
                "nothing: it was fetched again" if each in repaired else TO_DO,
                ", ".join(map(str, each.track_ids)) or "-",
                each.cid,
            )
            for each in found
        ]
        columns = ("found", "what to do", "tracks", "cid")
        print_found(columns, rows, kinds=2, count="copies", show_all=show_all)
    if len(found) > len(repaired):
        raise SystemExit(DRIFT)


async def _verify_media(*, deep: bool, repair: bool) -> tuple[list[MediaFinding], Collection[MediaFinding]]:
    async with container_of_command() as container:
        settings, repaired = container.settings, set[MediaFinding]()
        with progress_bar("verifying") as progress:
            grace = timedelta(days=settings.sweep_grace_days)
            found = list(check_media(container.media, grace, deep=deep, progress=progress))
        problems = found if repair else []
        async with pds_http_client(settings) as http:
            policy, staging = AddressPolicy(settings.dev_origins), staging_folder(settings)
            media_repair = MediaRepair(container.media, http, policy, staging, container.hosts)
            with progress_bar("fetching") as progress:
                for number, each in enumerate(problems, 1):
                    if await media_repair.repair(each):
                        repaired.add(each)
                    progress(number, len(problems))
    return found, repaired


def plan(did: str | None, *, show_all: bool, as_json: bool) -> None:
    found = asyncio.run(verify_accounts(did))
    planned = plan_for(drift for each in found for drift in each.drifts)
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
        _show_plan(planned, show_all=show_all)
    if unread := _warn(found):
        click.echo(f"the plan is without {unread} repos: plan again once they can be read", err=True)


def apply(
    did: str | None, *, max_deletes: int, dry_run: bool, agreed: bool, show_all: bool, as_json: bool
) -> None:
    if dry_run:
        plan(did, show_all=show_all, as_json=as_json)
        return
    found = asyncio.run(verify_accounts(did))
    planned = plan_for(drift for each in found for drift in each.drifts)
    if planned.counts.deletes > max_deletes:
        raise click.ClickException(
            f"the plan deletes {planned.counts.deletes} records and may delete {max_deletes}. Nothing was done;"
            f" look at the plan, and say --max-deletes {planned.counts.deletes} if it is right"
        )
    repairs: list[RepairRow] = []
    if any(step.repair is not Repair.NOTHING for step in planned.steps):
        if not as_json:
            _show_plan(planned, show_all=show_all)
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
    plans = [(each.repo.did, columns_of(each)) for each in found]
    wanted = [(did, plan) for did, plan in plans if PlanCounts.of(plan["counts"]).steps]
    repairs: list[RepairRow] = []
    async with container_of_command() as container:
        with progress_bar("applying") as progress:
            for did, plan in wanted:
                repair_id, is_new = apply_found(container.log, did, plan, Operator(operator_envelope()))
                if is_new:
                    await _run(container, did)
                # one that is gone, perhaps with its account, is left out
                with container.database.read() as connection, suppress(RepairNotFoundError):
                    repairs.append(repair_row(repair_of(connection, repair_id)))
                progress(len(repairs), len(wanted))
    return repairs


async def _run(container: Container, did: str) -> None:
    """Run the account's repair here; one that a running service has begun first is waited for, and continued where that dies."""

    def is_to_run() -> bool:
        with container.database.read_committed() as connection:
            return is_unfinished(connection, REPAIR, did)

    while not await container.worker.run_now(REPAIR, did) and await in_thread(is_to_run):  # noqa: ASYNC110 - a row
        await asyncio.sleep(POLL_SECONDS)


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


def _show_plan(planned: Plan, *, show_all: bool) -> None:
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
