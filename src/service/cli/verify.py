"""`mastertape verify pds` and `verify media`: compare the records on PDSes, and the media store, with the log; bytes are repaired from PDSes."""

import asyncio
import logging
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from functools import partial
from typing import Any, Final

import click

from identity.resolution.address_policy import AddressPolicy
from outbox.repo.reads import RepoReads
from outbox.threads import in_thread
from replay.media.check import MediaFinding, MediaKind, check_media
from replay.media.repair import MediaRepair
from replay.reconcile.drift import Drift
from replay.reconcile.outdated import outdated_records
from replay.reconcile.verify import Repo, Verified, Verifier, repos_of
from replay.recovered import resume_account
from service.cli.log import verify
from service.cli.output import (
    DRIFT,
    as_json,
    of_account,
    operator_envelope,
    print_found,
    print_json,
    progress_bar,
    show_all,
)
from service.cli.preparing import container_of_command
from service.observability.expected import first_line
from service.wiring.identity import pds_http_client
from service.wiring.log import staging_folder

UNREAD: Final = 1
"""Exit code when a repo could not be read, or its account not be resumed."""

logger: Final = logging.getLogger("mastertape.service")


@verify.command("pds")
@of_account
@show_all
@as_json
def verify_pds(did: str | None, *, show_all: bool, as_json: bool) -> None:
    """Compare the record of every track with what its artist's PDS holds; no login is needed.

    After a restore this lets the relay resume, account by account: records that are newer on a PDS are held for their owner.
    """
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
        verifier = Verifier(container.database, RepoReads(container.services.pds), outdated=outdated)

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
    kinds = sorted(Counter(drift.kind.value for drift in drifts).items())
    said = f"{records} records in {len(found) - len(unread)} repos: "
    said += ", ".join(f"{count} {kind}" for kind, count in kinds) or "no drift"
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


TO_DO = {
    MediaKind.MISSING: "--repair, or put it back from a backup of the media",
    MediaKind.WRONG_SIZE: "--repair, or put it back from a backup of the media",
    MediaKind.DAMAGED: "--repair, or put it back from a backup of the media",
    MediaKind.UNNAMED: "nothing: the sweep deletes it",
    MediaKind.STRAY: "nothing: the sweep deletes it, unless a track names it before",
}


@verify.command("media")
@click.option("--deep", is_flag=True, help="Read every byte, and compare its hash with the CID.")
@click.option("--repair", is_flag=True, help="Fetch what is missing or damaged from the artists' PDSes.")
@show_all
@as_json
def verify_media(*, deep: bool, repair: bool, show_all: bool, as_json: bool) -> None:
    """Compare the bytes that tracks name with the media store. Exit code 3 when some are missing or wrong."""
    found, repaired = asyncio.run(_verify_media(deep=deep, repair=repair))
    if as_json:
        print_json({"findings": [asdict(each) | {"repaired": each in repaired} for each in found]})
    else:
        _show_media(found, repaired, show_all=show_all)
    if any(each.is_problem and each not in repaired for each in found):
        raise SystemExit(DRIFT)


async def _verify_media(*, deep: bool, repair: bool) -> tuple[list[MediaFinding], Collection[MediaFinding]]:
    async with container_of_command() as container:
        settings, repaired = container.settings, set[MediaFinding]()
        with progress_bar("verifying") as progress:
            grace = timedelta(days=settings.sweep_grace_days)
            found = list(check_media(container.media, grace, deep=deep, progress=progress))
        problems = [each for each in found if each.is_problem and repair]
        async with pds_http_client(settings) as http:
            policy, staging = AddressPolicy(settings.dev_origins), staging_folder(settings)
            media_repair = MediaRepair(container.media, http, policy, staging, container.hosts)
            with progress_bar("fetching") as progress:
                for number, each in enumerate(problems, 1):
                    if await media_repair.repair(each):
                        repaired.add(each)
                    progress(number, len(problems))
    return found, repaired


def _show_media(found: Sequence[MediaFinding], repaired: Collection[MediaFinding], *, show_all: bool) -> None:
    kinds = sorted(Counter(each.kind.value for each in found).items())
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds)
    fetched = f"; {len(repaired)} fetched again" if repaired else ""
    click.echo((counts or "every track has its bytes, and nothing else is there") + fetched)
    rows = [
        (
            each.kind.value,
            "nothing: it was fetched again" if each in repaired else TO_DO[each.kind],
            "" if each.swept_after is None else f"{each.swept_after:%Y-%m-%d %H:%M}",
            ", ".join(map(str, each.track_ids)) or "-",
            each.cid,
        )
        for each in found
    ]
    columns = ("found", "what to do", "deleted after", "tracks", "cid")
    print_found(columns, rows, kinds=2, count="copies", show_all=show_all)
