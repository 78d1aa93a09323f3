"""`mastertape verify pds`: compares the records on PDSes with the log. Also adds `verify media` to the group."""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import click

from outbox.repo.reads import RepoReads
from outbox.threads import in_thread
from replay.reconcile.drift import Drift
from replay.reconcile.outdated import outdated_records
from replay.reconcile.verify import Repo, Verified, Verifier, repos_of
from replay.recovered import resume_account
from service.cli.log import verify
from service.cli.media import verify_media
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


verify.add_command(verify_media)


async def verify_accounts(did: str | None, *, resumes_lanes: bool = False) -> list[Verified]:
    """Compare all repos, or that of one account; `resumes_lanes` lets the relay send again for verified accounts after a restore."""
    async with container_of_command() as container:
        repos = repos_of(container.database, did, collection=container.settings.collection)
        if did is not None and not repos:
            raise click.ClickException(
                f"nothing is known of {did!r}: name the DID of an account that has records here"
            )
        log, kinds = container.log, container.services.kinds
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
